"""Kinds of noise that a diffusion process may add."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from unlesion.networks.coarse_noise import coarse_noise
from unlesion.networks.diffusion.simplex import banked_field, simplex_bank

NoiseKind = Literal["gaussian", "simplex", "coarse", "pyramid"]
PYRAMID_LEVELS = 10


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Draws fields of one kind of noise.

    Attributes:
        kind: "gaussian": standard normal, pixel by pixel. "simplex": octaves of simplex noise, from a bank,
            standard deviation 0.53 with 6 octaves, as published (not brought to 1). "coarse": normal on a coarse
            grid, interpolated, standard deviation 1. "pyramid": a sum of normal noise on ever coarser grids,
            standard deviation 1 in every field.
        grain: in sides of the image: first wavelength of simplex noise (published: 64 of 96 or of 256 pixels), or
            a cell of coarse noise.
        octaves: of simplex noise.
        persistence: of simplex noise, from octave to octave; of a pyramid, from level to level.
    """

    kind: NoiseKind = "gaussian"
    grain: float = 2 / 3
    octaves: int = 6
    persistence: float = 0.8

    def fields(
        self, number: int, channels: int, sides: tuple[int, ...], generator: torch.Generator
    ) -> Tensor:
        """Independent fields, every channel its own: (number, channels, *sides) float32, where `generator` is.

        Args:
            number: of images.
            channels: of each.
            sides: pixels along each axis.
            generator: on the CPU.
        """
        shape = (number, channels, *sides)
        if self.kind == "gaussian":
            return torch.randn(shape, generator=generator)
        if self.kind == "simplex":
            bank = simplex_bank(tuple(sides), self.grain * sides[-1], self.octaves)
            made = [
                banked_field(bank, sides, persistence=self.persistence, generator=generator)
                for _ in range(number * channels)
            ]
            return torch.stack(made).reshape(shape)
        if self.kind == "coarse":
            cell = self.grain * sides[-1]
            if cell <= 1.0:
                # A point for every pixel: nothing is interpolated.
                return torch.randn(shape, generator=generator)
            everywhere = torch.ones((number, 1, *sides), dtype=torch.bool)
            field = coarse_noise(torch.empty(shape), everywhere, sigma=1.0, cell=cell, generator=generator)
            # Interpolation leaves 2/3 of the variance along each axis.
            return field * 1.5 ** (len(sides) / 2)
        return torch.cat([pyramid_field(channels, sides, self.persistence, generator) for _ in range(number)])

    def training(
        self, shape: torch.Size, *, generator: torch.Generator, device: torch.device, shared: bool = False
    ) -> Tensor:
        """Noise for a batch of training images of `shape` (B, C, ...); `shared`: one field for all of them."""
        number, channels, *sides = shape
        drawn = self.fields(1 if shared else number, channels, tuple(sides), generator)
        return drawn.to(device, non_blocking=True).expand(number, -1, *sides)


def pyramid_field(
    channels: int, sides: tuple[int, ...], persistence: float, generator: torch.Generator
) -> Tensor:
    """Normal noise plus weaker and weaker noise of ever coarser grids, divided by its standard deviation.

    Level i (0 to 9) has weight `persistence`^i; its grid is r^i times smaller than that of level i - 1, with r
    drawn anew from 2 to 4, until a side has one point.

    Returns:
        (1, channels, *sides) float32.

    Source: Frotscher et al., ANDi, arXiv 2312.01904.
    """
    total = torch.randn((1, channels, *sides), generator=generator)
    mode = "bilinear" if len(sides) == 2 else "trilinear"
    grid = list(sides)
    for level in range(PYRAMID_LEVELS):
        factor = (2.0 + 2.0 * float(torch.rand((), generator=generator))) ** level
        grid = [max(1, int(side / factor)) for side in grid]
        points = torch.randn((1, channels, *grid), generator=generator)
        total += persistence**level * nn.functional.interpolate(
            points, size=sides, mode=mode, align_corners=False
        )
        if min(grid) == 1:
            break
    return total / total.std().clamp(min=1e-6)
