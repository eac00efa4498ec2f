"""Shapes as signed distances in mm (negative inside), and soft masks from them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unlesion.synthesis.space import Space

Array = NDArray[np.float32]


def ellipsoid(
    space: Space, centre: NDArray[np.float64], radii_mm: NDArray[np.float64], axes: NDArray[np.float64]
) -> Array:
    """Approximate signed distance (mm) to an ellipsoid.

    Args:
        space: where to draw it.
        centre: world mm.
        radii_mm: half axes.
        axes: (3, 3) rows are the unit directions of the half axes.
    """
    x, y, z = (axis - np.float32(middle) for axis, middle in zip(space.axes(), centre, strict=True))
    scaled = np.zeros(space.shape, np.float32)
    gradient = np.zeros(space.shape, np.float32)
    for direction, radius in zip(axes.astype(np.float32), radii_mm.astype(np.float32), strict=True):
        along = (x * direction[0] + y * direction[1] + z * direction[2]) / radius
        scaled += along**2
        gradient += (along / radius) ** 2
    # First-order distance f (f - 1) / |grad f|, exact for a sphere.
    norm = np.sqrt(scaled)
    distance = norm * (norm - 1) / np.sqrt(np.maximum(gradient, 1e-12))
    # The very centre has no gradient.
    return np.asarray(np.where(scaled > 0, distance, -np.float32(radii_mm.min())), dtype=np.float32)


def cone(space: Space, apex: NDArray[np.float64], direction: NDArray[np.float64], half_angle: float) -> Array:
    """Signed distance (mm) to an infinite cone that opens from `apex` along the unit vector `direction`."""
    x, y, z = (axis - np.float32(middle) for axis, middle in zip(space.axes(), apex, strict=True))
    along = x * np.float32(direction[0]) + y * np.float32(direction[1]) + z * np.float32(direction[2])
    across = np.sqrt(np.maximum(x**2 + y**2 + z**2 - along**2, 0))
    return across * np.float32(np.cos(half_angle)) - along * np.float32(np.sin(half_angle))


def soften(distance: Array, width_mm: float) -> Array:
    """Fraction 0..1 from a signed distance: 1 deeper than width/2 inside, 0 beyond width/2, smooth between."""
    t = np.clip(0.5 - distance / np.float32(max(width_mm, 1e-6)), 0, 1)
    return t * t * (3 - 2 * t)


def random_axes(rng: np.random.Generator, first: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """A random orthonormal frame (3, 3), rows are directions; the first row along `first` if given."""
    frame = rng.standard_normal((3, 3))
    if first is not None:
        frame[0] = first
    basis, _ = np.linalg.qr(frame.T)
    return np.ascontiguousarray(basis.T)
