"""From an anatomy and a code of how it was imaged to the image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unlesion.networks.layers import layer

SLOPE = 0.1
HIDDEN = 32


class FilmBlock(nn.Module):
    """Two convolutions, the second scaled and shifted by the code, added to the first.

    h1 = lrelu(conv(h)); out = h1 + lrelu(gamma(z) · conv(h1) + beta(z)).

    Args:
        width: channels.
        code: numbers in a code.
        dims: 2 or 3.

    Source: Perez et al., FiLM, AAAI 2018; residual form of Chartsias et al., MedIA 2019.
    """

    def __init__(self, width: int, *, code: int, dims: int) -> None:
        super().__init__()
        conv = layer("Conv", dims)
        self.first = conv(width, width, 3, padding=1)
        self.second = conv(width, width, 3, padding=1)
        self.modulate = nn.Sequential(
            nn.Linear(code, HIDDEN), nn.LeakyReLU(SLOPE), nn.Linear(HIDDEN, 2 * width)
        )

    def forward(self, features: Tensor, code: Tensor) -> Tensor:
        """(B, width, ...) and (B, code) to (B, width, ...)."""
        first = nn.functional.leaky_relu(self.first(features), SLOPE)
        moves = self.modulate(code).reshape(*code.shape[:1], -1, *[1] * (features.ndim - 2))
        scale, shift = moves.chunk(2, dim=1)
        second = self.second(first)
        return first + nn.functional.leaky_relu(torch.addcmul(shift, 1.0 + scale, second), SLOPE)


class FilmRecoupler(nn.Module):
    """Anatomy planes at full size and an imaging code to one channel.

    Args:
        planes: of the anatomy.
        width: channels.
        blocks: FiLM blocks.
        code: numbers in a code.
        ceiling: the brightest grey value that can be drawn; the darkest is 0.
        dims: 2 or 3.
    """

    def __init__(
        self, planes: int, *, width: int, blocks: int, code: int, ceiling: float, dims: int = 2
    ) -> None:
        super().__init__()
        self.first = layer("Conv", dims)(planes, width, 3, padding=1)
        self.blocks = nn.ModuleList(FilmBlock(width, code=code, dims=dims) for _ in range(blocks))
        self.last = layer("Conv", dims)(width, 1, 3, padding=1)
        self.ceiling = ceiling

    def forward(self, anatomy: Tensor, code: Tensor) -> Tensor:
        """(B, planes, ...) and (B, code) to (B, 1, ...) float32 in [0, ceiling]."""
        features = self.first(anatomy)
        for block in self.blocks:
            features = block(features, code)
        # Sigmoids of bfloat16 would leave 256 grey values.
        return torch.sigmoid(self.last(features).float()) * self.ceiling
