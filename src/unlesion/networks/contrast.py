"""Two views of an image should have like features, views of different images unlike ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def margin_info_nce(
    first: Tensor, second: Tensor, *, temperature: float = 0.07, margin: float = 0.5
) -> Tensor:
    """InfoNCE with a margin, mean over both views of all images.

    With s the cosine similarity over `temperature`, s+ of a view to the other view of its image and s- to the
    views of other images: ``-log(exp(s+) / (exp(s+ - margin) + sum exp(s-)))``. Its least value is -margin.

    Args:
        first: (B, n) features of one view.
        second: (B, n) features of the other, in the same order.
        temperature: similarities are divided by it.
        margin: epsilon; 0 is plain InfoNCE.

    Returns:
        A float32 scalar.

    Source: Barbano et al., Unbiased supervised contrastive learning, ICLR 2023, for many positives; here one.
    """
    number = len(first)
    views = nn.functional.normalize(torch.cat([first, second]).float(), dim=1)
    # In bfloat16 cosines near 1 are 0.004 apart, which the temperature makes much of.
    with torch.autocast(views.device.type, enabled=False):
        similar = views @ views.T / temperature
    partner = (torch.arange(2 * number, device=views.device) + number) % (2 * number)
    positive = similar.gather(1, partner[:, None])
    less = nn.functional.one_hot(partner, 2 * number) * margin
    itself = torch.eye(2 * number, dtype=torch.bool, device=views.device)
    all_others = (similar - less).masked_fill(itself, float("-inf"))
    return (all_others.logsumexp(1, keepdim=True) - positive).mean()
