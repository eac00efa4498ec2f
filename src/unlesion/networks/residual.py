"""Residual encoder to a normal distribution of codes, and residual decoder, as Soft-IntroVAE has them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from unlesion.networks.layers import layer
from unlesion.networks.norms import NormKind, normalisation

SLOPE = 0.2
Taps = tuple[Tensor, ...]


class ResidualBlock(nn.Module):
    """Two 3-wide convolutions beside a shortcut; leaky ReLU after the sum.

    Args:
        inputs: channels in.
        outputs: channels out; where they differ from `inputs` the shortcut is a 1-wide convolution.
        norm: see `normalisation`.
        dims: 2 or 3.
    """

    def __init__(self, inputs: int, outputs: int, *, norm: NormKind, dims: int = 2) -> None:
        super().__init__()
        conv = layer("Conv", dims)
        self.main = nn.Sequential(
            conv(inputs, outputs, 3, padding=1, bias=False),
            normalisation(norm, outputs, dims=dims),
            nn.LeakyReLU(SLOPE),
            conv(outputs, outputs, 3, padding=1, bias=False),
            normalisation(norm, outputs, dims=dims),
        )
        self.skip = nn.Identity() if inputs == outputs else conv(inputs, outputs, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(B, inputs, ...) to (B, outputs, ...) of the same size."""
        return nn.functional.leaky_relu(self.main(features) + self.skip(features), SLOPE)


class ResidualEncoder(nn.Module):
    """Images to mean and log variance of their codes; every level's features can be had too.

    Args:
        channels: of the image.
        widths: channels of the levels, each of which halves the image.
        grid: points along a side after the last level.
        latent: numbers in a code.
        norm: see `normalisation`.
        dims: 2 or 3.
    """

    def __init__(
        self, channels: int, *, widths: Sequence[int], grid: int, latent: int, norm: NormKind, dims: int = 2
    ) -> None:
        super().__init__()
        first, last = widths[0], widths[-1]
        pool = layer("AvgPool", dims)
        stem = nn.Sequential(
            layer("Conv", dims)(channels, first, 5, padding=2, bias=False),
            normalisation(norm, first, dims=dims),
            nn.LeakyReLU(SLOPE),
            pool(2),
        )
        levels = [
            nn.Sequential(ResidualBlock(a, b, norm=norm, dims=dims), pool(2)) for a, b in pairwise(widths)
        ]
        self.levels = nn.ModuleList([stem, *levels])
        self.last = ResidualBlock(last, last, norm=norm, dims=dims)
        self.head = nn.Linear(last * grid**dims, 2 * latent)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Taps]:
        """(B, C, ...) to mean (B, latent), log variance (B, latent), and the features after each level."""
        taps = self.taps(images)
        mean, log_variance = self.head(self.last(taps[-1]).flatten(1)).chunk(2, dim=1)
        return mean, log_variance, taps

    def taps(self, images: Tensor) -> Taps:
        """The features after each level, finest first: (B, widths[k], side / 2^(k+1), ...)."""
        found = []
        features = images
        for step in self.levels:
            features = step(features)
            found.append(features)
        return tuple(found)


class ResidualDecoder(nn.Module):
    """Codes to images; no skip connections from the encoder.

    Args:
        channels: of the image.
        widths: the encoder's; gone through backwards.
        grid: points along a side on the coarsest level.
        latent: numbers in a code.
        ceiling: the brightest grey value that can be drawn; the darkest is 0.
        norm: see `normalisation`.
        dims: 2 or 3.
    """

    def __init__(
        self,
        channels: int,
        *,
        widths: Sequence[int],
        grid: int,
        latent: int,
        ceiling: float,
        norm: NormKind,
        dims: int = 2,
    ) -> None:
        super().__init__()
        first, last = widths[0], widths[-1]
        self.shape = (last, *[grid] * dims)
        self.ceiling = ceiling
        self.expand = nn.Sequential(nn.Linear(latent, last * grid**dims), nn.ReLU())
        steps: list[nn.Module] = []
        for a, b in pairwise((last, *reversed(widths))):
            steps += [ResidualBlock(a, b, norm=norm, dims=dims), nn.Upsample(scale_factor=2, mode="nearest")]
        self.steps = nn.Sequential(*steps, ResidualBlock(first, first, norm=norm, dims=dims))
        self.last = layer("Conv", dims)(first, channels, 5, padding=2)

    def forward(self, code: Tensor) -> Tensor:
        """(B, latent) to (B, C, ...) float32 in [0, ceiling]."""
        features = self.steps(self.expand(code).unflatten(1, self.shape))
        # Sigmoids of bfloat16 would leave 256 grey values.
        return torch.sigmoid(self.last(features).float()) * self.ceiling
