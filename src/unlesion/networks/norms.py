"""Normalisation of features, by name."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from unlesion.networks.layers import layer

NormKind = Literal["frozen", "batch", "group"]
GROUP_WIDTH = 8


class ChannelAffine(nn.Module):
    """A learnt scale and shift of every channel and nothing else.

    This is what batch normalisation is while it stays in evaluation mode from its first day, with running
    means of 0 and variances of 1: it normalises nothing, and no image knows of its neighbours.

    Args:
        width: number of channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, features: Tensor) -> Tensor:
        """(B, width, ...) to the same."""
        shape = (1, -1, *[1] * (features.ndim - 2))
        return features * self.weight.reshape(shape) + self.bias.reshape(shape)


def normalisation(kind: NormKind, width: int, *, dims: int) -> nn.Module:
    """A layer between convolution and activation; each kind learns two numbers per channel.

    Args:
        kind: "frozen" (`ChannelAffine`), "batch", or "group" (groups of `GROUP_WIDTH` channels, or a single
            one where the width is no multiple of that).
        width: number of channels.
        dims: 2 or 3.
    """
    if kind == "frozen":
        return ChannelAffine(width)
    if kind == "batch":
        return layer("BatchNorm", dims)(width)
    groups = width // GROUP_WIDTH if width % GROUP_WIDTH == 0 else 1
    return nn.GroupNorm(groups, width)
