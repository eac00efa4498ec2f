"""Random smooth warps of images: a turn, a stretch, a shift, and a wave."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unlesion.networks.draws import normal
from unlesion.networks.precision import without_autocast


@without_autocast
def random_warp(
    images: Tensor, *, linear: float = 0.1, elastic: float = 0.05, generator: torch.Generator
) -> Tensor:
    """Each image (B, C, ...) at other places, its values not interpolated; 0 from beyond the border.

    Args:
        images: anything that may be taken from the nearest pixel.
        linear: standard deviation of the entries of the matrix around the identity, and of the shift in half sides.
        elastic: standard deviation of a smooth displacement, in half sides.
        generator: of all numbers.
    """
    number, sides = len(images), tuple(images.shape[2:])
    dims, device = len(sides), images.device
    matrix = torch.eye(dims, device=device) + linear * normal(
        (number, dims, dims), generator=generator, device=device
    )
    shift = linear * normal((number, dims, 1), generator=generator, device=device)
    grid = nn.functional.affine_grid(
        torch.cat([matrix, shift], dim=2), [number, 1, *sides], align_corners=False
    )
    points = elastic * normal((number, dims, *[4] * dims), generator=generator, device=device)
    mode = "bilinear" if dims == 2 else "trilinear"
    wave = nn.functional.interpolate(points, size=sides, mode=mode, align_corners=True)
    return nn.functional.grid_sample(
        images.float(), grid + wave.movedim(1, -1), mode="nearest", align_corners=False
    )
