"""A memory of healthy codes: what is asked of it comes back as a sparse mixture of its rows."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

Addressing = Literal["dot", "cosine"]


class Memory(nn.Module):
    """Replaces codes by convex mixtures of few learnt rows.

    Args:
        rows: how many.
        width: numbers in a row and in a code.
        shrink: weights up to this are cut to 0; see `shrunk`.
        addressing: likeness of code and row before the softmax: their product, or its cosine.
        sharpness: the likeness is multiplied by this; more than 1 makes few rows stand out from the start.
    """

    def __init__(
        self,
        rows: int,
        width: int,
        *,
        shrink: float = 0.0025,
        addressing: Addressing = "dot",
        sharpness: float = 1.0,
    ) -> None:
        super().__init__()
        self.shrink = shrink
        self.addressing = addressing
        self.sharpness = sharpness
        bound = 1.0 / math.sqrt(width)
        self.rows = nn.Parameter(torch.empty(rows, width).uniform_(-bound, bound))

    def forward(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Ask for codes, in vectors or at every point of a grid.

        Args:
            codes: (B, width) or (B, width, ...).

        Returns:
            The mixtures, of the codes' shape, and the weights of the rows, (B, rows) or (B, rows, ...); both
            float32. Weights are >= 0 and sum to 1.
        """
        with torch.autocast(codes.device.type, enabled=False):
            asked, rows = codes.float().movedim(1, -1), self.rows.float()
            if self.addressing == "cosine":
                likeness = nn.functional.normalize(asked, dim=-1) @ nn.functional.normalize(rows, dim=-1).T
            else:
                likeness = asked @ rows.T
            weights = shrunk((self.sharpness * likeness).softmax(-1), self.shrink)
            return (weights @ rows).movedim(-1, 1), weights.movedim(-1, 1)


def shrunk(weights: Tensor, threshold: float, *, dim: int = -1) -> Tensor:
    """Weights above a threshold keep their share; the others become 0.

    w' = max(w - threshold, 0) · w / |w - threshold|, over the sum of all w'. Where no weight exceeds the
    threshold (which is so for even weights once it reaches one over their number) the weights stay as
    they are: a memory that answers nothing would neither draw nor learn.

    Args:
        weights: any shape; >= 0 with sum 1 along `dim`.
        threshold: from 0 to below 1.
        dim: along which weights belong together.

    Returns:
        The same shape, >= 0 with sum 1 along `dim`.

    Source: Gong et al., Memorizing normality to detect anomaly, ICCV 2019, eq. 6 and 7.
    """
    over = weights - threshold
    cut = nn.functional.relu(over) * weights / (over.abs() + 1e-12)
    total = cut.sum(dim, keepdim=True)
    left = total > 0
    # The division is kept finite on both branches: a NaN in the one not taken would spoil the gradient.
    return torch.where(left, cut / torch.where(left, total, torch.ones_like(total)), weights)


def entropy(weights: Tensor, *, dim: int = 1) -> Tensor:
    """Entropy of weights along `dim`, in nats: 0 for a single row, log(rows) for all alike."""
    return -(weights * (weights + 1e-12).log()).sum(dim)
