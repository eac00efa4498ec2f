"""Results back in the space, and the family of formats, of the scan they belong to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlesion.scans.formats import bare, nifti, picture
from unlesion.scans.grid import Grid


def write_float(stem: Path, array: NDArray[Any], grid: Grid) -> list[Path]:
    """Write raw float32 values: a map or a healthy image, never stretched.

    NIfTI scans get `.nii.gz` in their own axes, affine and header; pictures and bare arrays get `.npy` in
    their own shape.

    Args:
        stem: the path without its ending.
        array: (rows, columns, slices), or (channels, rows, columns, slices); several channels become the
            last axis of one file, a single one leaves the shape of the scan.
        grid: of the scan.

    Returns:
        The files written.

    Raises:
        BadInput: the place cannot be written.
    """
    array = _single(array)
    module = nifti if grid.family == "nifti" else bare
    return [module.write(Path(stem), array, grid, dtype=np.float32)]


def write_binary(stem: Path, array: NDArray[Any], grid: Grid) -> list[Path]:
    """Write a mask.

    NIfTI scans get a uint8 `.nii.gz` of 0 and 1; pictures a `.png` of 0 and 255 and a `.npy` of 0 and 1;
    bare arrays the `.npy`.

    Args:
        stem: the path without its ending.
        array: (rows, columns, slices); above 0 is True.
        grid: of the scan.

    Returns:
        The files written.

    Raises:
        BadInput: the place cannot be written.
    """
    stem = Path(stem)
    mask = (array > 0).astype(np.uint8)
    if grid.family == "nifti":
        return [nifti.write(stem, mask, grid, dtype=np.uint8)]
    written = [bare.write(stem, mask, grid, dtype=np.uint8)]
    if grid.family == "picture":
        written.insert(0, picture.write(stem, mask * np.uint8(255), grid, dtype=np.uint8))
    return written


def write_picture(stem: Path, array: NDArray[Any], *, low: float, high: float) -> Path:
    """Write an 8-bit PNG to look at, with a fixed window.

    Args:
        stem: the path without its ending.
        array: (rows, columns) or (rows, columns, 1); not finite is drawn black.
        low: value drawn black.
        high: value drawn white; must be above `low`.

    Returns:
        The file written.

    Raises:
        BadInput: the place cannot be written.
    """
    if not high > low:
        raise ValueError(f"the window must open upwards, got {low} to {high}")
    values = np.asarray(array, dtype=np.float64)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    shares = np.nan_to_num((values - low) / (high - low), nan=0.0, posinf=1.0, neginf=0.0)
    return picture.write_png(Path(stem), np.rint(np.clip(shares, 0.0, 1.0) * 255).astype(np.uint8))


def _single(array: NDArray[Any]) -> NDArray[Any]:
    """One channel is no channel axis."""
    return array[0] if array.ndim == 4 and array.shape[0] == 1 else array
