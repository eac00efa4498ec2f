"""Where two images agree best."""

from __future__ import annotations

import torch
from torch import Tensor


def most_alike(first: Tensor, second: Tensor, roi: Tensor, *, share: float) -> Tensor:
    """The share of each image's roi where the two differ least.

    Args:
        first: (B, C, ...).
        second: the same shape.
        roi: (B, 1, ...) bool.
        share: above 0, up to 1.

    Returns:
        (B, 1, ...) bool, also outside the roi where the two differ as little; everywhere in an image without any roi.
    """
    difference = (first - second).abs().mean(1, keepdim=True)
    out = torch.ones_like(roi)
    for row in range(len(first)):
        inside = difference[row][roi[row]]
        if inside.numel():
            out[row] = difference[row] <= torch.quantile(inside, share)
    return out
