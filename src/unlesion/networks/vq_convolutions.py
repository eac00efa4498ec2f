"""Encoder and decoder of strided convolutions and residual units, as VQ-VAEs have them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from unlesion.networks.layers import layer


class ResidualUnit(nn.Module):
    """Two 3-wide convolutions with a ReLU between them and one after the sum.

    Args:
        width: channels.
        dims: 2 or 3.
    """

    def __init__(self, width: int, *, dims: int) -> None:
        super().__init__()
        conv = layer("Conv", dims)
        self.main = nn.Sequential(
            conv(width, width, 3, padding=1), nn.ReLU(), conv(width, width, 3, padding=1)
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, width, ...) to the same."""
        return nn.functional.relu(features + self.main(features))


class VQEncoder(nn.Module):
    """Images to features to be quantised.

    Args:
        channels: of the image.
        widths: channels of the levels, each of which halves the image.
        units: residual units per level.
        code_width: channels of the features.
        dims: 2 or 3.
    """

    def __init__(
        self, channels: int, *, widths: Sequence[int], units: int, code_width: int, dims: int = 2
    ) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        for a, b in pairwise((channels, *widths)):
            steps += [layer("Conv", dims)(a, b, 4, stride=2, padding=1), nn.ReLU()]
            steps += [ResidualUnit(b, dims=dims) for _ in range(units)]
        self.steps = nn.Sequential(*steps, layer("Conv", dims)(widths[-1], code_width, 3, padding=1))

    def forward(self, images: Tensor) -> Tensor:
        """(B, channels, side, ...) to (B, code_width, side / 2^levels, ...)."""
        features: Tensor = self.steps(images)
        return features


class VQDecoder(nn.Module):
    """The way back, with transposed convolutions; arguments as in `VQEncoder`."""

    def __init__(
        self, channels: int, *, widths: Sequence[int], units: int, code_width: int, dims: int = 2
    ) -> None:
        super().__init__()
        steps: list[nn.Module] = [layer("Conv", dims)(code_width, widths[-1], 3, padding=1)]
        for a, b in pairwise((*reversed(widths), channels)):
            steps += [ResidualUnit(a, dims=dims) for _ in range(units)]
            steps += [layer("ConvTranspose", dims)(a, b, 4, stride=2, padding=1), nn.ReLU()]
        # Grey values are not cut at 0, where a unit that once fell below would get no gradient any more.
        self.steps = nn.Sequential(*steps[:-1])
        last: Any = self.steps[-1]
        nn.init.constant_(last.bias, 0.5)

    def forward(self, features: Tensor) -> Tensor:
        """(B, code_width, grid, ...) to (B, channels, grid · 2^levels, ...)."""
        images: Tensor = self.steps(features)
        return images
