"""How far soft label maps agree."""

from __future__ import annotations

import torch
from torch import Tensor

from unlesion.networks.roi import roi_mean

LEAST = 1e-7


def soft_dice_loss(found: Tensor, wanted: Tensor, roi: Tensor) -> Tensor:
    """1 - 2 sum(p q) / (sum(p) + sum(q)) inside the roi, of the whole batch and each plane; mean over the planes.

    Args:
        found: (B, K, ...) probabilities.
        wanted: the same.
        roi: (B, 1, ...) bool.

    Returns:
        A float32 scalar, 0 to 1. Planes that neither has count as agreement.
    """
    axes = (0, *range(2, found.ndim))
    inside = roi.float()
    both = (found.float() * wanted.float() * inside).sum(axes)
    total = ((found.float() + wanted.float()) * inside).sum(axes)
    return (1.0 - (2.0 * both + 1.0) / (total + 1.0)).mean()


def cross_entropy(logits: Tensor, wanted: Tensor, roi: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean of -sum_k q_k log softmax(L)_k inside the roi, in nats; weighted by `weight` (B, 1, ...), if given."""
    each = -(wanted * logits.float().log_softmax(1)).sum(1, keepdim=True)
    if weight is None:
        return roi_mean(each, roi)
    return roi_mean(weight * each, roi) / roi_mean(weight, roi).clamp(min=LEAST)


def jensen_shannon(first: Tensor, second: Tensor, roi: Tensor) -> Tensor:
    """Mean divergence of two maps of probabilities (B, K, ...) inside the roi, 0 to log 2 nats."""
    middle = (first + second) / 2

    def entropy(p: Tensor) -> Tensor:
        return -(p * p.clamp(min=LEAST).log()).sum(1, keepdim=True)

    return roi_mean(entropy(middle) - (entropy(first) + entropy(second)) / 2, roi)


def disagreement(first: Tensor, second: Tensor) -> Tensor:
    """Half the absolute difference of two maps of probabilities, summed over the planes: (B, ...), 0 to 1."""
    return 0.5 * (first - second).abs().sum(1)


def grouped(values: Tensor, groups: int) -> Tensor:
    """(B, groups · n, ...) summed over the n planes of each group: (B, groups, ...)."""
    return torch.stack([part.sum(1) for part in values.chunk(groups, dim=1)], dim=1)
