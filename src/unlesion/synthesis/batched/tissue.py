"""Classes of grey value, a rough stand-in for tissues."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

BINS = 128
ROUNDS = 10


def grey_classes(images: Tensor, roi: Tensor, *, classes: int, brightest: float) -> Tensor:
    """Sort the pixels of each image and channel by grey value into classes, by k-means on its own histogram.

    Centres begin at evenly spread quantiles of the roi's grey values. A class that no pixel falls into keeps its
    centre.

    Args:
        images: (B, C, ...) from 0 to `brightest`.
        roi: (B, 1, ...) bool, whose grey values make the classes.
        classes: how many.
        brightest: end of the histogram.

    Returns:
        (B, C, ...) int64, 0 the darkest class.
    """
    grey = images.flatten(2)
    bins = (grey * (BINS / brightest)).long().clamp(0, BINS - 1)
    inside = roi.flatten(2).expand_as(grey).to(grey.dtype)
    count = torch.zeros(*grey.shape[:2], BINS, device=grey.device).scatter_add(2, bins, inside)
    middles = (torch.arange(BINS, device=grey.device) + 0.5) * (brightest / BINS)
    share = count.cumsum(2) / count.sum(2, keepdim=True).clamp(min=1)
    wanted = (torch.arange(classes, device=grey.device) + 0.5) / classes
    centres = middles[(share[..., None] < wanted).sum(2).clamp(max=BINS - 1)]
    of_bin = _nearest(middles, centres)
    for _ in range(ROUNDS):
        member = one_hot(of_bin, classes).float() * count[..., None]
        total = member.sum(2)
        mean = (member * middles[:, None]).sum(2) / total.clamp(min=1)
        centres = torch.where(total > 0, mean, centres)
        of_bin = _nearest(middles, centres)
    return of_bin.gather(2, bins).reshape(images.shape)


def choose_classes(classes: Tensor, inside: Tensor, chance: Tensor, *, reluctance: float) -> Tensor:
    """Pixels of chosen classes: a class is chosen with about its share of the region; if none is, all are.

    Args:
        classes: (B, C, ...) int64.
        inside: (B, 1, ...) bool, the region.
        chance: (B, C, K) uniform in [0, 1), one for each class: it is chosen where this is below n_k / (n + reluctance).
        reluctance: pixels added to the region's, so that small regions mostly take all classes.

    Returns:
        (B, C, ...) bool.

    Source: Naval Marimont et al., DISYRE v2, MICCAI 2024: the tissue-wise intensity bias.
    """
    flat = classes.flatten(2)
    here = inside.flatten(2).expand_as(flat).to(chance.dtype)
    count = torch.zeros_like(chance).scatter_add(2, flat, here)
    chosen = chance < count / (count.sum(2, keepdim=True) + reluctance)
    chosen = chosen | ~chosen.any(2, keepdim=True)
    return chosen.gather(2, flat).reshape(classes.shape)


def _nearest(values: Tensor, centres: Tensor) -> Tensor:
    """(N,) and (B, C, K) to (B, C, N): the number of the centre that is nearest."""
    return (values[:, None] - centres[..., None, :]).abs().argmin(-1)
