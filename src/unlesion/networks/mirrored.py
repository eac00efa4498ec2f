"""Encoder and decoder of strided convolutions without biases, mirrored down to the last layer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from unlesion.networks.layers import layer


class MirroredEncoder(nn.Module):
    """Convolutions of stride 2, each followed by batch normalisation and (leaky) ReLU.

    Args:
        channels: of the image.
        widths: channels after each convolution; the last grid has side / 2^len(widths) points a side.
        kernel: width of the convolutions in pixels, 3 to 5.
        slope: of the activation below 0; 0 is ReLU.
        dims: 2 or 3.
    """

    def __init__(
        self, channels: int, *, widths: Sequence[int], kernel: int = 4, slope: float = 0.0, dims: int = 2
    ) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        for a, b in pairwise((channels, *widths)):
            steps += [
                layer("Conv", dims)(a, b, kernel, stride=2, padding=(kernel - 1) // 2, bias=False),
                layer("BatchNorm", dims)(b),
                nn.LeakyReLU(slope),
            ]
        self.steps = nn.Sequential(*steps)

    def forward(self, images: Tensor) -> Tensor:
        """(B, channels, side, ...) to (B, widths[-1], side / 2^levels, ...)."""
        result: Tensor = self.steps(images)
        return result


class MirroredDecoder(nn.Module):
    """The way back; the last transposed convolution is linear. Arguments are the encoder's."""

    def __init__(
        self, channels: int, *, widths: Sequence[int], kernel: int = 4, slope: float = 0.0, dims: int = 2
    ) -> None:
        super().__init__()
        up, padding = layer("ConvTranspose", dims), (kernel - 1) // 2
        # An odd kernel needs one pixel more to land on exactly twice the size.
        extra = kernel % 2
        steps: list[nn.Module] = []
        for a, b in pairwise(tuple(reversed(widths))):
            steps += [
                up(a, b, kernel, stride=2, padding=padding, output_padding=extra, bias=False),
                layer("BatchNorm", dims)(b),
                nn.LeakyReLU(slope),
            ]
        last = up(widths[0], channels, kernel, stride=2, padding=padding, output_padding=extra)
        # A middle grey to begin with.
        nn.init.constant_(last.bias, 0.5)  # type: ignore[arg-type]
        self.steps = nn.Sequential(*steps, last)

    def forward(self, features: Tensor) -> Tensor:
        """(B, widths[-1], grid, ...) to (B, channels, grid · 2^levels, ...)."""
        result: Tensor = self.steps(features)
        return result


class DenseSqueeze(nn.Module):
    """Features on a grid to a vector, through one hidden layer.

    Args:
        width: channels of the features.
        grid: points along a side.
        hidden: numbers in the hidden layer (batch normalisation, (leaky) ReLU).
        latent: numbers in the vector.
        slope: of the activation below 0.
        dims: 2 or 3.
    """

    def __init__(
        self, width: int, *, grid: int, hidden: int, latent: int, slope: float = 0.0, dims: int = 2
    ) -> None:
        super().__init__()
        self.steps = nn.Sequential(
            nn.Flatten(),
            nn.Linear(width * grid**dims, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.LeakyReLU(slope),
            nn.Linear(hidden, latent),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, width, grid, ...) to (B, latent)."""
        result: Tensor = self.steps(features)
        return result


class DenseSpread(nn.Module):
    """The way back from a vector to features on a grid; arguments are those of `DenseSqueeze`."""

    def __init__(
        self, width: int, *, grid: int, hidden: int, latent: int, slope: float = 0.0, dims: int = 2
    ) -> None:
        super().__init__()
        flat = width * grid**dims
        self.steps = nn.Sequential(
            nn.Linear(latent, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.LeakyReLU(slope),
            nn.Linear(hidden, flat, bias=False),
            nn.BatchNorm1d(flat),
            nn.LeakyReLU(slope),
            nn.Unflatten(1, (width, *[grid] * dims)),
        )

    def forward(self, code: Tensor) -> Tensor:
        """(B, latent) to (B, width, grid, ...)."""
        result: Tensor = self.steps(code)
        return result
