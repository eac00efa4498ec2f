"""Shapes around the origin, one for each image, as masks on its pixels."""

from __future__ import annotations

import torch
from torch import Tensor


def offsets(sides: tuple[int, ...], centre: Tensor) -> Tensor:
    """How far every pixel lies from each image's centre.

    Args:
        sides: of the images, in pixels.
        centre: (B, dims) in pixels.

    Returns:
        (B, dims, *sides) float32, in pixels.
    """
    lines = [torch.arange(side, dtype=torch.float32, device=centre.device) for side in sides]
    grid = torch.stack(torch.meshgrid(*lines, indexing="ij"))
    return grid[None] - centre.float().reshape(*centre.shape, *[1] * len(sides))


def turned(offset: Tensor, angles: Tensor) -> Tensor:
    """The offsets as seen from a turned frame.

    Args:
        offset: (B, dims, ...).
        angles: (B, n) in radians, n = 1 for slices; for volumes n = 3, a rotation vector.
    """
    dims = offset.shape[1]
    rows, columns = torch.triu_indices(dims, dims, offset=1, device=offset.device)
    skew = torch.zeros(len(offset), dims, dims, device=offset.device)
    skew[:, rows, columns] = angles
    frame = torch.linalg.matrix_exp(skew - skew.mT)
    return (frame @ offset.flatten(2)).reshape(offset.shape)


def box(offset: Tensor, sides: Tensor) -> Tensor:
    """Rectangles (cuboids): (B, dims, ...) offsets and (B, dims) sides in pixels to (B, 1, ...) bool."""
    half = (sides / 2).reshape(*sides.shape, *[1] * (offset.ndim - 2))
    return (offset.abs() <= half).all(dim=1, keepdim=True)


def ball(offset: Tensor, diameter: Tensor) -> Tensor:
    """Discs (balls): (B, dims, ...) offsets and (B,) diameters in pixels to (B, 1, ...) bool."""
    radius = (diameter / 2).reshape(-1, 1, *[1] * (offset.ndim - 2))
    return offset.square().sum(dim=1, keepdim=True) <= radius.square()


def blob(offset: Tensor, diameter: Tensor, waves: Tensor, directions: Tensor) -> Tensor:
    """Blunt, irregular shapes: balls whose radius goes up and down with the direction.

    The radius in the direction n is ``r (1 + sum_k waves_k cos(k angle(n, directions_k)))``, k from 2: in the plane
    a Fourier series of the outline, in volumes its counterpart on the sphere.

    Args:
        offset: (B, dims, ...) in pixels.
        diameter: (B,) 2 r, in pixels.
        waves: (B, K) how strong; their sum should stay below 1.
        directions: (B, K, dims), of any length above 0.

    Returns:
        (B, 1, ...) bool.
    """
    flat = offset.flatten(2)
    distance = flat.square().sum(dim=1).sqrt()
    unit = flat / distance.clamp(min=1e-6)[:, None]
    towards = directions / directions.norm(dim=2, keepdim=True).clamp(min=1e-6)
    angle = (towards @ unit).clamp(-1.0, 1.0).acos()
    number = torch.arange(2, 2 + waves.shape[1], device=offset.device)[None, :, None]
    radius = (diameter / 2)[:, None] * (1 + (waves[..., None] * (number * angle).cos()).sum(dim=1))
    return (distance <= radius).reshape(len(offset), 1, *offset.shape[2:])
