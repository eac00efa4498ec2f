"""Smooth noise whose grain is coarser than a pixel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unlesion.networks.draws import normal


def coarse_noise(
    images: Tensor, roi: Tensor, *, sigma: float, cell: float, generator: torch.Generator
) -> Tensor:
    """Normal noise on a coarse grid, interpolated up, shifted at random, and cut to the roi.

    Grid points are spread from the first to the last pixel and values between them interpolated
    linearly, which leaves a standard deviation of sqrt(2/3)·`sigma` per axis on average (about
    0.67·`sigma` in 2-D). One circular shift, common to the batch, keeps the grid from being learnt.

    Args:
        images: (B, C, ...): gives shape and device; every channel gets noise of its own.
        roi: (B, 1, ...) bool.
        sigma: standard deviation at the grid points, in grey values.
        cell: pixels per grid cell; the grid has round(side / cell) points, at least 2, along a side.
        generator: where the noise comes from.

    Returns:
        Like `images`, float32, exactly 0 outside the roi.

    Source: Kascenas et al., MIDL 2022, section 3 (16 x 16 points on 128 x 128 pixels, sigma 0.2).
    """
    sides = tuple(images.shape[2:])
    grid = tuple(max(2, round(side / cell)) for side in sides)
    points = normal((*images.shape[:2], *grid), generator=generator, device=images.device) * sigma
    mode = "bilinear" if len(sides) == 2 else "trilinear"
    noise = nn.functional.interpolate(points, size=sides, mode=mode, align_corners=True)
    shifts = [int(torch.randint(side, (), generator=generator, device=generator.device)) for side in sides]
    noise = torch.roll(noise, shifts, dims=tuple(range(2, noise.ndim)))
    return noise * roi
