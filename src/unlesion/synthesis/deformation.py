"""Diffeomorphic deformations: a stationary velocity field, integrated by scaling and squaring."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unlesion.synthesis.fields import smooth_field
from unlesion.synthesis.space import Space

Array = NDArray[np.float32]


def random_velocity(space: Space, scale_mm: float, amplitude_mm: float, rng: np.random.Generator) -> Array:
    """A smooth random velocity field (3, X, Y, Z) in mm, with standard deviation `amplitude_mm` per component."""
    return np.stack([smooth_field(space, scale_mm, rng) for _ in range(3)]) * np.float32(amplitude_mm)


def push(space: Space, centre: NDArray[np.float64], radius_mm: float, amplitude_mm: float) -> Array:
    """Velocity (3, X, Y, Z) in mm that pushes tissue away from `centre`, about strongest at `radius_mm`.

    It is the field for the *backward* map (where does the tissue at x come from?), so it points inwards. It
    vanishes exactly beyond three radii.
    """
    offsets = [axis - np.float32(middle) for axis, middle in zip(space.axes(), centre, strict=True)]
    squared = sum(offset**2 for offset in offsets) / np.float32(radius_mm**2)
    # t * exp((1 - t^2) / 2) peaks with value 1 at t = 1; the second factor ends it smoothly at t = 3.
    weight = np.exp((1 - squared) / 2) * np.clip((9 - squared) / 8, 0, 1) ** 2
    return np.stack([-offset / np.float32(radius_mm) * weight for offset in offsets]) * np.float32(
        amplitude_mm
    )


def exponential(velocity: Array, spacing: float) -> Array:
    """Displacement (3, X, Y, Z) in mm of the flow of a stationary velocity field after unit time.

    Scaling and squaring (Arsigny et al., A log-Euclidean framework for statistics on diffeomorphisms,
    MICCAI 2006). For smooth fields the map x -> x + displacement is one to one.
    """
    largest = float(np.sqrt((velocity**2).sum(axis=0)).max(initial=0.0))
    squarings = max(0, int(np.ceil(np.log2(max(largest / (0.1 * spacing), 1.0)))))
    displacement = velocity / np.float32(2**squarings)
    index = np.indices(velocity.shape[1:], dtype=np.float32)
    for _ in range(squarings):
        where = index + displacement / np.float32(spacing)
        moved = [ndimage.map_coordinates(part, where, order=1, mode="nearest") for part in displacement]
        displacement = displacement + np.stack(moved).astype(np.float32)
    return displacement


def jacobian_determinant(displacement: Array, spacing: float) -> Array:
    """Determinant of the Jacobian of x -> x + displacement (mm), by central differences; > 0: no folding."""
    rows = [np.gradient(part, np.float32(spacing)) for part in displacement]
    jacobian = np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
    return np.linalg.det(jacobian + np.eye(3, dtype=np.float32)).astype(np.float32)
