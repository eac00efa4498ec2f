"""Means over the region of interest, on which every loss is taken."""

from __future__ import annotations

from torch import Tensor


def roi_mean(values: Tensor, roi: Tensor) -> Tensor:
    """Mean over the pixels inside the roi and over the channels.

    All roi pixels of a batch weigh the same, so an image with a small roi weighs less. Papers that
    average over all pixels of the image differ from this by a factor (the roi's share of the image).

    Args:
        values: (B, C, ...).
        roi: (B, 1, ...) bool.

    Returns:
        A float32 scalar; 0 where no image has any roi.
    """
    inside = roi.to(values.dtype)
    count = roi.sum() * values.shape[1]
    return (values.float() * inside).sum() / count.clamp(min=1)


def roi_sum(values: Tensor, roi: Tensor) -> Tensor:
    """Sum over the pixels inside the roi and over the channels, one per image: (B,) float32."""
    return (values.float() * roi).flatten(1).sum(1)
