"""Grids for files that do not say where they lie: pictures and bare arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from unlesion.scans.grid import Grid


def unplaced_grid(*, shape: tuple[int, int, int], file_shape: tuple[int, ...], family: str) -> Grid:
    """The grid of an array (rows, columns, slices) about whose place in the world nothing is known."""
    spacing = (1.0, 1.0, 1.0)
    return Grid(
        shape=shape,
        affine=canonical_affine(spacing),
        spacing=spacing,
        spacing_known=False,
        family=family,
        file_shape=file_shape,
    )


def with_spacing(grid: Grid, spacing: Sequence[float]) -> Grid:
    """An unplaced grid, given the size of its voxels in mm along rows, columns and slices."""
    rows, columns, slices = (float(size) for size in spacing)
    sizes = (rows, columns, slices)
    return replace(grid, affine=canonical_affine(sizes), spacing=sizes, spacing_known=True)


def canonical_affine(spacing: Sequence[float]) -> NDArray[np.float64]:
    """4 x 4: rows run to posterior, columns to left, slices up; the first voxel lies at the origin."""
    rows, columns, slices = spacing
    affine = np.zeros((4, 4))
    affine[1, 0], affine[0, 1], affine[2, 2], affine[3, 3] = -rows, -columns, slices, 1.0
    return affine
