"""Patch critic with bounded slope, and the soft-mask game: where was something drawn, not whether."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

from unlesion.networks.layers import layer
from unlesion.networks.smoothing import gaussian_blur

SLOPE = 0.2


class PatchCritic(nn.Module):
    """4-wide convolutions with spectral normalisation and leaky ReLU: one number for each patch of an image.

    All but the last of them halve the image; a plain convolution then gives the numbers.

    Args:
        channels: of the image.
        widths: channels after each convolution.
        dims: 2 or 3.
    """

    def __init__(self, channels: int, *, widths: Sequence[int], dims: int = 2) -> None:
        super().__init__()
        conv = layer("Conv", dims)
        steps: list[nn.Module] = []
        for place, (a, b) in enumerate(pairwise((channels, *widths))):
            stride = 2 if place < len(widths) - 1 else 1
            steps += [
                spectral_norm(conv(a, b, 4, stride=stride, padding=1, bias=False)),
                nn.LeakyReLU(SLOPE),
            ]
        self.steps = nn.Sequential(*steps, conv(widths[-1], 1, 4, padding=1))

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, side, ...) to (B, 1, side, ...) float32: 0 where real, 1 where drawn; on the images' pixels."""
        return self.looked(images)[0]

    def looked(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What `forward` says, and the features after each convolution but the last."""
        features, seen = images, []
        with parametrize.cached():
            # Norms are estimated in float32 under autocast, too.
            with torch.autocast(images.device.type, enabled=False):
                for step in self.steps:
                    getattr(step, "weight", None)
            for step in self.steps:
                features = step(features)
                if isinstance(step, nn.LeakyReLU):
                    seen.append(features)
        mode = "bilinear" if images.ndim == 4 else "trilinear"
        said = nn.functional.interpolate(
            features.float(), size=images.shape[2:], mode=mode, align_corners=True
        )
        return said, seen


def critic_loss(on_drawn: Tensor, on_real: Tensor, mask: Tensor, sigma: float) -> Tensor:
    """How far a critic is from the blurred mask on images with drawn parts, and from 0 on real ones.

    Args:
        on_drawn: what it says of images that were drawn inside `mask`, (B, 1, ...).
        on_real: the same of real images.
        mask: (B, 1, ...) bool.
        sigma: of the Gaussian, in pixels.

    Returns:
        Sum of two mean squared errors over whole images, a float32 scalar.

    Source: Zeng et al., TVCG 2022, eq. of the soft mask-guided PatchGAN, with 0 for real instead of 1.
    """
    target = gaussian_blur(mask.float(), sigma)
    return (on_drawn.float() - target).square().mean() + on_real.float().square().mean()


def deception_loss(on_drawn: Tensor, mask: Tensor, *, goal: float = 0.0) -> Tensor:
    """Mean squared distance, inside the mask, of what a critic says from `goal`; 0 where nothing is masked."""
    inside = mask.to(on_drawn.dtype)
    return (inside * (on_drawn - goal).square()).sum() / inside.sum().clamp(min=1.0)
