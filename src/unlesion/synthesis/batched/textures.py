"""Textures taken from elsewhere, fitted to where they go."""

from __future__ import annotations

import torch
from torch import Tensor


def match_range(foreign: Tensor, images: Tensor, where: Tensor, *, slack: float = 1e-3) -> Tensor:
    """Foreign grey values stretched linearly, so that within a region they range as the image's own do.

    Args:
        foreign: (B, C, ...).
        images: (B, C, ...), whose darkest and brightest values in the region are taken over, channel by channel.
        where: (B, 1, ...) bool; where it is empty the result is 0.
        slack: added to the range of the foreign values, so that flat ones do not explode.

    Returns:
        (B, C, ...).

    Source: Naval Marimont et al., DISYRE v2, MICCAI 2024: min-max matching of a foreign patch.
    """
    low, high = _ends(foreign, where)
    dark, bright = _ends(images, where)
    stretched = (foreign - low) / (high - low + slack) * (bright - dark) + dark
    return torch.where(where.flatten(1).any(1).reshape(-1, *[1] * (images.ndim - 1)), stretched, 0.0)


def _ends(values: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
    axes = tuple(range(2, values.ndim))
    low = values.masked_fill(~where, torch.inf).amin(dim=axes, keepdim=True)
    high = values.masked_fill(~where, -torch.inf).amax(dim=axes, keepdim=True)
    return low, high
