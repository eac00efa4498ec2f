"""The denoising U-Net, told a number by scale and shift."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unlesion.networks.denoising_unet import DenoisingUNet
from unlesion.networks.diffusion.blocks import time_embedding


class ToldUNet(DenoisingUNet):
    """`DenoisingUNet` whose blocks are scaled and shifted by an embedding of a number, as diffusion U-Nets are.

    It costs next to nothing beside the convolutions.

    Args:
        channels: of the image, in and out.
        widths: channels of each level, finest first.
        told: numbers of the embedding.
        dims: 2 or 3.
        plain_first: see `DenoisingUNet`.
        extra: further planes in.
    """

    def __init__(
        self,
        channels: int,
        *,
        widths: Sequence[int],
        told: int = 64,
        dims: int = 2,
        plain_first: bool = False,
        extra: int = 0,
    ) -> None:
        super().__init__(channels, widths=widths, dims=dims, plain_first=plain_first, extra=extra)
        self.told = told
        self.embed = nn.Sequential(nn.Linear(told, told), nn.SiLU(), nn.Linear(told, told), nn.SiLU())
        blocks = [*widths, *widths[-2::-1]]
        self.heed = nn.ModuleList(nn.Linear(told, 2 * width) for width in blocks)

    def forward(self, images: Tensor, numbers: Tensor) -> Tensor:  # type: ignore[override]
        """(B, channels + extra, ...) and (B,), as times of a diffusion are, to (B, channels, ...)."""
        told = self.embed(time_embedding(numbers, self.told))
        heeds = iter(self.heed)
        kept: list[Tensor] = []
        features = images
        for level, block in enumerate(self.down):
            features = block(self.pool(features) if level else features)
            features = _scaled(features, next(heeds)(told))
            kept.append(features)
        kept.pop()
        for grow, block in zip(self.grow, self.up, strict=True):
            features = block(torch.cat([grow(features), kept.pop()], dim=1))
            features = _scaled(features, next(heeds)(told))
        result: Tensor = self.last(features)
        return result


def _scaled(features: Tensor, told: Tensor) -> Tensor:
    scale, shift = told.reshape(*told.shape, *[1] * (features.ndim - 2)).chunk(2, dim=1)
    return features * (1 + scale) + shift
