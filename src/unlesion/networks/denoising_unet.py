"""The U-Net of the coarse-noise denoising autoencoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unlesion.networks.layers import layer
from unlesion.networks.standardised import StandardisedConv


def middle_divisor(number: int) -> int:
    """The middle one of a number's sorted divisors (the upper of two): 64 -> 8, 128 -> 16, 512 -> 32.

    Kascenas et al. choose the number of groups for group normalisation by this rule.
    """
    divisors = [d for d in range(1, number + 1) if number % d == 0]
    return divisors[len(divisors) // 2]


class ConvBlock(nn.Module):
    """Twice: 3-wide convolution with mirrored borders, swish, group normalisation.

    Args:
        inputs: channels in.
        outputs: channels out.
        dims: 2 or 3.
        plain_first: the first convolution keeps its kernels as they are, and so sees absolute grey.
    """

    def __init__(self, inputs: int, outputs: int, *, dims: int, plain_first: bool = False) -> None:
        super().__init__()
        first: nn.Module
        if plain_first:
            first = layer("Conv", dims)(inputs, outputs, 3, padding=1, padding_mode="reflect")
        else:
            first = StandardisedConv(inputs, outputs, dims=dims)
        groups = middle_divisor(outputs)
        self.layers = nn.Sequential(
            first,
            nn.SiLU(),
            nn.GroupNorm(groups, outputs),
            StandardisedConv(outputs, outputs, dims=dims),
            nn.SiLU(),
            nn.GroupNorm(groups, outputs),
        )

    def forward(self, images: Tensor) -> Tensor:
        """(B, inputs, ...) to (B, outputs, ...) of the same size."""
        result: Tensor = self.layers(images)
        return result


class DenoisingUNet(nn.Module):
    """U-Net with average pooling, transposed convolutions and skip connections; no output activation.

    Args:
        channels: of the image, in and out.
        extra: further planes in, which tell something about the image.
        widths: channels of each level, finest first; sides must be multiples of 2^(levels - 1).
        dims: 2 or 3.
        plain_first: see `ConvBlock`; needed where `channels` is 1.

    Source: Kascenas, Pugeault, O'Neil, MIDL 2022; widths (64, 128, 256, 512) give 7.70 M parameters.
    """

    def __init__(
        self,
        channels: int,
        *,
        widths: Sequence[int],
        dims: int = 2,
        plain_first: bool = False,
        extra: int = 0,
    ) -> None:
        super().__init__()
        inputs = [channels + extra, *widths[:-1]]
        self.down = nn.ModuleList(
            ConvBlock(a, b, dims=dims, plain_first=plain_first and level == 0)
            for level, (a, b) in enumerate(zip(inputs, widths, strict=True))
        )
        self.pool = layer("AvgPool", dims)(2)
        steps = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.grow = nn.ModuleList(layer("ConvTranspose", dims)(a, b, 2, stride=2) for a, b in steps)
        self.up = nn.ModuleList(ConvBlock(2 * b, b, dims=dims) for _, b in steps)
        self.last = layer("Conv", dims)(widths[0], channels, 1)

    def forward(self, images: Tensor) -> Tensor:
        """(B, channels + extra, ...) to (B, channels, ...)."""
        kept = []
        features = images
        for level, block in enumerate(self.down):
            features = block(self.pool(features) if level else features)
            kept.append(features)
        kept.pop()
        for grow, block in zip(self.grow, self.up, strict=True):
            features = block(torch.cat([grow(features), kept.pop()], dim=1))
        result: Tensor = self.last(features)
        return result
