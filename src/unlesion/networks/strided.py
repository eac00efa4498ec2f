"""Encoder and decoder of strided convolutions, as the autoencoders of Baur et al. have them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from unlesion.networks.layers import layer


class StridedEncoder(nn.Module):
    """Convolutions of stride 2, each followed by batch normalisation and leaky ReLU.

    Args:
        channels: of the image.
        widths: channels after each convolution; the last grid has side / 2^len(widths) points a side.
        kernel: width of the convolutions in pixels: 5 (Baur et al.) or 4 (MedIAnomaly).
        dims: 2 or 3.
        slope: of the leaky ReLU below 0.
    """

    def __init__(
        self, channels: int, *, widths: Sequence[int], kernel: int = 5, dims: int = 2, slope: float = 0.01
    ) -> None:
        super().__init__()
        steps = []
        for a, b in zip([channels, *widths[:-1]], widths, strict=True):
            steps += [
                layer("Conv", dims)(a, b, kernel, stride=2, padding=(kernel - 1) // 2),
                layer("BatchNorm", dims)(b),
                nn.LeakyReLU(slope),
            ]
        self.steps = nn.Sequential(*steps)

    def forward(self, images: Tensor) -> Tensor:
        """(B, channels, side, ...) to (B, widths[-1], side / 2^levels, ...)."""
        result: Tensor = self.steps(images)
        return result


class StridedDecoder(nn.Module):
    """The way back: batch norm and ReLU, transposed convolutions of stride 2, a linear 1-wide convolution.

    Args:
        channels: of the image.
        widths: channels on the coarsest grid, then after each transposed convolution.
        kernel: 5 or 4.
        dims: 2 or 3.
        slope: of the leaky ReLU below 0.
    """

    def __init__(
        self, channels: int, *, widths: Sequence[int], kernel: int = 5, dims: int = 2, slope: float = 0.01
    ) -> None:
        super().__init__()
        steps: list[nn.Module] = [layer("BatchNorm", dims)(widths[0]), nn.ReLU()]
        # An odd kernel needs one pixel more to land on exactly twice the size.
        extra = kernel % 2
        for a, b in pairwise(widths):
            padding = (kernel - 1) // 2
            steps += [
                layer("ConvTranspose", dims)(a, b, kernel, stride=2, padding=padding, output_padding=extra),
                layer("BatchNorm", dims)(b),
                nn.LeakyReLU(slope),
            ]
        last: Any = layer("Conv", dims)(widths[-1], channels, 1)
        # Starting at a middle grey also keeps SSIM losses away from the negative of the image, which
        # is as good to them: luminance and structure both change their sign.
        nn.init.constant_(last.bias, 0.5)
        steps.append(last)
        self.steps = nn.Sequential(*steps)

    def forward(self, features: Tensor) -> Tensor:
        """(B, widths[0], grid, ...) to (B, channels, grid · 2^levels, ...)."""
        result: Tensor = self.steps(features)
        return result


def decoder_widths(widths: Sequence[int]) -> tuple[int, ...]:
    """The decoder's widths for an encoder's: (32, 64, 128, 128) -> (128, 128, 64, 32, 32)."""
    return (widths[-1], *reversed(widths[:-1]), widths[0])
