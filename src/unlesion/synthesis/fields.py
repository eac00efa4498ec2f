"""Smooth random fields: cubic B-splines over random control points, so that no grid shows through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unlesion.synthesis.space import Space

Array = NDArray[np.float32]

# Standard deviation of a cubic B-spline over independent unit normals: sqrt(151 / 315) for each axis.
_UNIT = (151 / 315) ** 1.5


def smooth_field(
    space: Space, scale_mm: float, rng: np.random.Generator, *, within: Space | None = None
) -> Array:
    """A Gaussian random field of mean 0 and standard deviation about 1.

    Args:
        space: where to draw it.
        scale_mm: distance between control points; features are about twice as wide.
        rng: source of randomness; the field depends on the box of `space`, not on its spacing.
        within: the box that the field belongs to, if `space` is only a window of it: overlapping windows see the
            same field. Beyond the box its edge is continued.

    Returns:
        float32 of the shape of `space`.
    """
    box = space if within is None else within
    # The tolerance: a box of 3 scales has three, whatever rounding says.
    counts = [int(np.ceil(side / scale_mm - 1e-6)) + 3 for side in box.extent]
    control = rng.standard_normal(counts, dtype=np.float32) / np.float32(_UNIT)
    positions: list[NDArray[Any]] = [
        np.clip(((np.arange(count) + 0.5) * space.spacing + own - corner) / scale_mm, 0, most - 3) + 1
        for count, own, corner, most in zip(space.shape, space.corner, box.corner, counts, strict=True)
    ]
    return evaluate_spline(control, positions)


def resample_smooth(values: Array, source: Space, target: Space) -> Array:
    """Interpolate a smooth field from a coarse space onto a finer space of the same box, by cubic splines."""
    control = ndimage.spline_filter(values, order=3, mode="mirror", output=np.float32)
    positions: list[NDArray[Any]] = [
        (np.arange(count) + 0.5) * target.spacing / source.spacing - 0.5 for count in target.shape
    ]
    # Beyond the outermost voxel centres the spline is continued by reflection, as the filter assumes.
    padded = np.pad(control, 2, mode="reflect")
    return evaluate_spline(padded, [position + 2 for position in positions])


def evaluate_spline(control: Array, positions: Sequence[NDArray[Any]]) -> Array:
    """Evaluate a cubic B-spline with unit knot distance on the tensor grid of `positions`.

    Args:
        control: (X, Y, Z) control points; point i sits at position i.
        positions: for each axis the increasing positions wanted, in [1, count - 2].
    """
    out = control
    for axis, (position, count) in enumerate(zip(positions, control.shape, strict=True)):
        offset = np.abs(position[:, None] - np.arange(count)[None, :])
        near = 2 / 3 - offset**2 + offset**3 / 2
        far = np.clip(2 - offset, 0, None) ** 3 / 6
        weights = np.where(offset < 1, near, far).astype(np.float32)
        out = np.moveaxis(np.tensordot(weights, out, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(out)


def trilinear(values: Array, coordinates: Array, *, order: int = 1) -> Array:
    """Sample `values` at voxel coordinates (3, ...); outside the array it is 0."""
    return ndimage.map_coordinates(
        values, coordinates, order=order, mode="constant", cval=0.0, prefilter=order > 1, output=np.float32
    )


def carry(values: Array, source: Space, target: Space) -> Array:
    """Linear interpolation from one space onto another (any box); beyond the source the edge is continued."""
    lines = [
        (np.asarray(line).ravel() - corner) / source.spacing - 0.5
        for line, corner in zip(target.axes(), source.corner, strict=True)
    ]
    out = values
    for axis, line in enumerate(lines):
        last = values.shape[axis] - 1
        line = np.clip(line, 0, last)
        low = np.minimum(line.astype(int), max(last - 1, 0))
        shape = [1, 1, 1]
        shape[axis] = -1
        share = (line - low).astype(np.float32).reshape(shape)
        first, second = np.take(out, low, axis=axis), np.take(out, np.minimum(low + 1, last), axis=axis)
        out = first + share * (second - first)
    return np.ascontiguousarray(out, dtype=np.float32)
