"""Losses on features: where they differ, and in what mixture they occur."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def content_loss(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    """Mean absolute difference of features (B, C_k, ...), summed over the levels; a float32 scalar."""
    return torch.stack(
        [(a.float() - b.float()).abs().mean() for a, b in zip(first, second, strict=True)]
    ).sum()


def style_loss(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    """Mean absolute difference of Gram matrices, summed over the levels; a float32 scalar.

    Source: Johnson et al., Perceptual losses for real-time style transfer, ECCV 2016, eq. 3, with an
    absolute difference.
    """
    return torch.stack([(gram(a) - gram(b)).abs().mean() for a, b in zip(first, second, strict=True)]).sum()


def gram(features: Tensor) -> Tensor:
    """Which channels occur together: (B, C, ...) to (B, C, C) float32, over the number of features."""
    flat = features.float().flatten(2)
    with torch.autocast(features.device.type, enabled=False):
        return flat @ flat.transpose(1, 2) / (flat.shape[1] * flat.shape[2])
