"""Histogram equalisation inside a region of interest."""

from __future__ import annotations

import torch
from torch import Tensor


def equalise(images: Tensor, roi: Tensor, *, bins: int = 256) -> Tensor:
    """Replace every grey value by the share of its image's roi that is darker or in the same bin.

    Each channel of each image has its own histogram, of `bins` equal bins between the smallest and
    the largest value inside the roi; between the bins' centres the cumulative histogram is
    interpolated linearly. Equals scikit-image's `equalize_hist` with a mask; a roi of one grey value becomes 0.5.

    Args:
        images: (B, C, ...).
        roi: (B, 1, ...) bool.
        bins: number of bins.

    Returns:
        Like `images`, float32, 0 to 1; 0 outside the roi.
    """
    # Bins are told apart in float64: 8-bit values often lie right on a border.
    values = images.flatten(2).double()
    inside = roi.expand_as(images).flatten(2)
    low = torch.where(inside, values, torch.inf).amin(-1, keepdim=True)
    high = torch.where(inside, values, -torch.inf).amax(-1, keepdim=True)
    # No roi at all, or one grey value only: any width serves.
    low = torch.where(torch.isfinite(low), low, 0.0)
    width = torch.where(high > low, high - low, 1.0) / bins
    place = (values - low) / width
    index = place.floor().clamp(0, bins - 1).long()
    histogram = torch.zeros(*values.shape[:2], bins, dtype=torch.float64, device=images.device)
    histogram.scatter_add_(-1, index, inside.double())
    total = histogram.sum(-1, keepdim=True).clamp(min=1.0)
    cumulative = histogram.cumsum(-1) / total
    # Interpolate between bin centres; values beyond the outer centres take theirs.
    centred = (place - 0.5).clamp(0, bins - 1)
    lower = centred.floor().clamp(max=bins - 2).long()
    share = centred - lower
    below, above = cumulative.gather(-1, lower), cumulative.gather(-1, lower + 1)
    equalised = below + share * (above - below)
    # Where all is alike nothing is bright.
    equalised = torch.where(high > low, equalised, 0.5)
    return (equalised * inside).reshape(images.shape).float()
