"""Residual generator, critic and encoder of Wasserstein games, and the gradient penalty."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from unlesion.networks.layers import layer

# Keeps the root's derivative finite where an image has no gradient at all.
SMALLEST_SQUARE = 1e-12


class WassersteinBlock(nn.Module):
    """Normalise, activate, convolve, twice, beside a shortcut; to twice or half the size.

    Layer normalisation is over all features of an image, with a scale and a shift per channel. There is
    no batch normalisation anywhere: the penalty is on each image's own gradient.

    Args:
        inputs: channels in.
        outputs: channels out.
        resample: "up" doubles the side (nearest neighbour, before the convolution), "down" halves it
            (average, after the convolution).
        dims: 2 or 3.
    """

    def __init__(self, inputs: int, outputs: int, *, resample: Literal["up", "down"], dims: int = 2) -> None:
        super().__init__()
        conv = layer("Conv", dims)
        up: list[nn.Module] = [nn.Upsample(scale_factor=2, mode="nearest")] if resample == "up" else []
        down: list[nn.Module] = [layer("AvgPool", dims)(2)] if resample == "down" else []
        middle = outputs if resample == "up" else inputs
        self.main = nn.Sequential(
            nn.GroupNorm(1, inputs),
            nn.ReLU(),
            *up,
            conv(inputs, middle, 3, padding=1, bias=False),
            nn.GroupNorm(1, middle),
            nn.ReLU(),
            conv(middle, outputs, 3, padding=1),
            *down,
        )
        # A 1-wide convolution commutes with copying and averaging pixels: it goes where pixels are few.
        self.skip = nn.Sequential(*down, conv(inputs, outputs, 1), *up)

    def forward(self, features: Tensor) -> Tensor:
        """(B, inputs, side, ...) to (B, outputs, 2 side or side / 2, ...)."""
        result: Tensor = self.main(features) + self.skip(features)
        return result


class WassersteinTrunk(nn.Module):
    """Images to features: a convolution, then a block per halving. Critic and encoder begin so.

    Args:
        channels: of the image.
        widths: channels after the first convolution, then after each block.
        coarse: the first convolution is 4 wide and halves the image; otherwise it is 3 wide and does not.
        dims: 2 or 3.
    """

    def __init__(self, channels: int, *, widths: Sequence[int], coarse: bool = False, dims: int = 2) -> None:
        super().__init__()
        conv = layer("Conv", dims)
        self.steps = nn.Sequential(
            conv(channels, widths[0], 4, stride=2, padding=1)
            if coarse
            else conv(channels, widths[0], 3, padding=1),
            *[WassersteinBlock(a, b, resample="down", dims=dims) for a, b in pairwise(widths)],
        )

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, side, ...) to (B, widths[-1], grid, ...): halved once per block, and once more if `coarse`."""
        result: Tensor = self.steps(images)
        return result


class Critic(nn.Module):
    """Says how real images look, on a scale without bounds; and by what.

    Args:
        channels: of the image.
        widths: see `WassersteinTrunk`.
        grid: points along a side after the last block.
        coarse: see `WassersteinTrunk`.
        dims: 2 or 3.
    """

    def __init__(
        self, channels: int, *, widths: Sequence[int], grid: int, coarse: bool = False, dims: int = 2
    ) -> None:
        super().__init__()
        self.trunk = WassersteinTrunk(channels, widths=widths, coarse=coarse, dims=dims)
        self.head = nn.Linear(widths[-1] * grid**dims, 1)

    def features(self, images: Tensor) -> Tensor:
        """The features before the last layer: (B, n) float32."""
        flat: Tensor = self.trunk(images).flatten(1).float()
        return flat

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, ...) to (B,) float32."""
        features = self.features(images)
        # bfloat16 would leave nothing of the difference between two large numbers.
        with torch.autocast(images.device.type, enabled=False):
            said: Tensor = self.head(features)
        return said[:, 0]


class BoundedEncoder(nn.Module):
    """Images to codes between -1 and 1; arguments as in `Critic`, and the code's length."""

    def __init__(
        self,
        channels: int,
        *,
        widths: Sequence[int],
        grid: int,
        latent: int,
        coarse: bool = False,
        dims: int = 2,
    ) -> None:
        super().__init__()
        self.trunk = WassersteinTrunk(channels, widths=widths, coarse=coarse, dims=dims)
        self.head = nn.Linear(widths[-1] * grid**dims, latent)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, ...) to (B, latent) float32."""
        return torch.tanh(self.head(self.trunk(images).flatten(1)).float())


class Generator(nn.Module):
    """Codes to images.

    Args:
        channels: of the image.
        widths: the critic's; gone through backwards.
        grid: points along a side on the coarsest level.
        latent: numbers in a code.
        ceiling: the brightest grey value that can be drawn; the darkest is 0.
        coarse: the last convolution works on twice as many points a side as the last block.
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
        coarse: bool = False,
        dims: int = 2,
    ) -> None:
        super().__init__()
        self.shape = (widths[-1], *[grid] * dims)
        self.ceiling = ceiling
        self.expand = nn.Linear(latent, widths[-1] * grid**dims)
        self.steps = nn.Sequential(
            *[WassersteinBlock(a, b, resample="up", dims=dims) for a, b in pairwise(tuple(reversed(widths)))],
            nn.GroupNorm(1, widths[0]),
            nn.ReLU(),
            *([nn.Upsample(scale_factor=2, mode="nearest")] if coarse else []),
        )
        self.last = layer("Conv", dims)(widths[0], channels, 3, padding=1)

    def forward(self, code: Tensor) -> Tensor:
        """(B, latent) to (B, C, ...) float32 in [0, ceiling]."""
        features = self.steps(self.expand(code).unflatten(1, self.shape))
        # Sigmoids of bfloat16 would leave 256 grey values.
        return torch.sigmoid(self.last(features).float()) * self.ceiling


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, drawn: Tensor, share: Tensor
) -> Tensor:
    """How far the slope of a critic is from 1 between real and drawn images.

    The slope of an image is the norm of the gradient over all its numbers. It is computed in float32 under
    autocast too: it is the derivative of a derivative.

    Args:
        critic: (B, C, ...) to (B,); must not mix images.
        real: (B, C, ...).
        drawn: (B, C, ...); no gradient goes into them.
        share: (B,) between 0 and 1: how much of the real image each mixture has.

    Returns:
        The mean of (slope - 1)², a scalar >= 0 with a gradient to the critic.

    Source: Gulrajani et al., Improved training of Wasserstein GANs, NeurIPS 2017, eq. 3.
    """
    with torch.autocast(real.device.type, enabled=False), torch.enable_grad():
        weight = share.float().reshape(-1, *[1] * (real.ndim - 1))
        mixed = (weight * real.detach().float() + (1.0 - weight) * drawn.detach().float()).requires_grad_()
        (slope,) = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)
        norm = (slope.flatten(1).square().sum(1) + SMALLEST_SQUARE).sqrt()
        return (norm - 1.0).square().mean()
