"""Which slice heights count as neighbours: linear weights over evenly spaced bins."""

from __future__ import annotations

import torch
from torch import Tensor


def bin_weights(position: Tensor, bins: int) -> Tensor:
    """Each position's share in each bin; the shares of a position sum to 1.

    Bin centres are spread evenly from 0 to 1, and a position between two centres belongs to both, in
    inverse proportion to the distances, so that what is read at a position changes smoothly.

    Args:
        position: (B,) 0 to 1; values beyond are taken as the nearer end.
        bins: number of bins; with one, everything belongs to it.

    Returns:
        (B, bins) float32.
    """
    if bins == 1:
        return torch.ones(len(position), 1, device=position.device)
    centres = torch.arange(bins, device=position.device, dtype=torch.float32)
    place = position.float().clamp(0, 1)[:, None] * (bins - 1)
    return (1.0 - (place - centres).abs()).clamp(min=0.0)
