"""How an anomaly and the image around it become one."""

from __future__ import annotations

import torch
from torch import Tensor


def blend(images: Tensor, foreign: Tensor, fraction: Tensor) -> Tensor:
    """`images` where the fraction is 0, exactly; `foreign` where it is 1; a linear mixture between.

    Args:
        images: (B, C, ...).
        foreign: (B, C, ...).
        fraction: (B, 1 or C, ...) from 0 to 1.
    """
    return torch.where(fraction > 0, images + fraction * (foreign - images), images)


def add_within(
    images: Tensor, fraction: Tensor, amount: Tensor, *, brightest: float
) -> tuple[Tensor, Tensor]:
    """Brighten or darken a region, and say by how much it really changed.

    Args:
        images: (B, C, ...) from 0 to `brightest`.
        fraction: (B, 1 or C, ...) from 0 to 1: how much of the amount a pixel gets.
        amount: (B, C) grey values, below 0 to darken.
        brightest: results are kept between 0 and this.

    Returns:
        The images, unchanged where the fraction is 0 or the amount is; and (B,) their largest change, which is less
        than the amount where grey values ran into an end.
    """
    change = amount.reshape(*amount.shape, *[1] * (images.ndim - 2)) * fraction
    out = torch.where(change != 0, (images + change).clamp(0.0, brightest), images)
    return out, (out - images).abs().flatten(1).amax(1)
