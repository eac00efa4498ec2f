"""What an image must be to be used: refused, or mended with a warning."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unlesion.errors import BadInput
from unlesion.scans.grid import Grid

SMALLEST_SIDE = 16
"""Pixels that an image needs along rows and along columns."""

SAME_PLACE_MM = 1e-3
"""Two grids are one if no corner lies further apart than this, or than `SAME_PLACE` of a voxel's shortest side."""

SAME_PLACE = 0.1
"""Of a voxel: what float32 makes of an oblique orientation that is stored as a quaternion is less."""


def check_image(voxels: NDArray[np.float32], path: Path) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Refuse what cannot be an image; set scattered non-finite voxels to 0.

    Args:
        voxels: (rows, columns, slices).
        path: where they came from, for the message.

    Returns:
        The voxels, all finite, and a warning if some were not.

    Raises:
        BadInput: under 16 pixels in-plane, no finite voxel, or every voxel the same.
    """
    rows, columns = voxels.shape[:2]
    if voxels.size == 0:
        raise BadInput(f"{path}: holds no voxels; export the image again")
    if min(rows, columns) < SMALLEST_SIDE:
        raise BadInput(
            f"{path}: only {rows} x {columns} pixels in the slice plane; "
            f"give images of at least {SMALLEST_SIDE} x {SMALLEST_SIDE}"
        )
    mended, warnings, (lowest, highest) = mend(voxels, path)
    if lowest == highest:
        raise BadInput(
            f"{path}: every voxel is {lowest:g}, so there is nothing to see; check the export or leave it out"
        )
    return mended, warnings


def mend(
    voxels: NDArray[np.float32], path: Path
) -> tuple[NDArray[np.float32], tuple[str, ...], tuple[float, float]]:
    """Set NaN and infinite voxels to 0, with a warning; refuse an image that holds nothing else.

    Returns:
        The voxels, the warnings, and the lowest and highest of the values that were finite.
    """
    # Minimum and maximum carry NaN and infinity along, and need no second array.
    lowest, highest = float(voxels.min()), float(voxels.max())
    if np.isfinite(lowest) and np.isfinite(highest):
        return voxels, (), (lowest, highest)
    finite = np.isfinite(voxels)
    kept = voxels[finite]
    if kept.size == 0:
        raise BadInput(f"{path}: no voxel is finite (all NaN or infinite); check the export or leave it out")
    missing = voxels.size - kept.size
    warning = f"{path.name}: {missing} of {voxels.size} voxels were NaN or infinite, set to 0"
    return np.where(finite, voxels, np.float32(0)), (warning,), (float(kept.min()), float(kept.max()))


def check_same_grid(grid: Grid, wanted: Grid, path: Path, *, what: str) -> None:
    """Refuse an image that lies on another grid than the scan it belongs to.

    Args:
        grid: of the image at `path`.
        wanted: of the scan.
        path: for the message.
        what: what the image is: "mask", "roi", "channel", "twin".

    Raises:
        BadInput: another family of formats, another shape, or corners more than a tenth of a voxel apart.
    """
    if (grid.family == "nifti") != (wanted.family == "nifti"):
        raise BadInput(
            f"{path}: this {what} is a {_name(grid)} but its scan is a {_name(wanted)}, "
            "so their axes cannot be matched; save both in one format"
        )
    if grid.shape != wanted.shape:
        raise BadInput(
            f"{path}: this {what} has {_size(grid)} voxels (rows x columns x slices) but its scan has "
            f"{_size(wanted)}; {_mend(what, wanted)}"
        )
    if grid.family != "nifti":
        return
    apart = corner_distance(grid.affine, wanted.affine, wanted.shape)
    if apart > max(SAME_PLACE_MM, SAME_PLACE * min(wanted.spacing)):
        raise BadInput(
            f"{path}: this {what} lies up to {apart:.3g} mm away from its scan (same shape, other affine); "
            f"{_mend(what, wanted)}, or correct its header"
        )


def reason(error: BaseException) -> str:
    """What an error said, on one line of reasonable length."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."


def corner_distance(affine: NDArray[np.float64], other: NDArray[np.float64], shape: Sequence[int]) -> float:
    """Largest distance in mm between the same corner voxels of two grids of one shape.

    Args:
        affine: 4 x 4, index to world millimetres.
        other: the same, of the other grid.
        shape: numbers of voxels along the axes of the affines; a missing third is 1.
    """
    ends = [(0, size - 1) for size in (*shape, 1, 1)[:3]]
    corners = np.array([(r, c, s, 1) for r in ends[0] for c in ends[1] for s in ends[2]], dtype=float).T
    moved = (affine - other) @ corners
    return float(np.linalg.norm(moved[:3], axis=0).max())


def _mend(what: str, grid: Grid) -> str:
    if what == "channel" and grid.family == "nifti" and not grid.is_flat:
        return "bring channels to one grid with `unlesion align`"
    return "resample it to the scan's grid"


def _size(grid: Grid) -> str:
    return " x ".join(str(size) for size in grid.shape)


def _name(grid: Grid) -> str:
    return {"nifti": "NIfTI file", "picture": "picture", "numpy": "NumPy array"}.get(grid.family, grid.family)
