"""NumPy arrays: rows, columns and slices as they are, nothing known about the world."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from unlesion.errors import BadInput
from unlesion.files import whole_file
from unlesion.scans.checks import reason
from unlesion.scans.formats.choice import chosen_volume
from unlesion.scans.formats.unplaced import unplaced_grid
from unlesion.scans.grid import Grid

ENDINGS = (".npy",)


def read(path: Path, *, volume: int | None = None) -> tuple[NDArray[np.float32], Grid]:
    """Read a `.npy` file: (rows, columns), (rows, columns, slices), or 4-D with a choice of the last axis.

    Pickled objects are never loaded.

    Raises:
        BadInput: not a NumPy file, truncated, not numbers, or not of 2 to 4 dimensions.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a broken header makes NumPy raise almost anything
        raise BadInput(
            f"{path}: not readable as a NumPy array ({reason(error)}); save it again with numpy.save"
        ) from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise BadInput(f"{path}: an archive of arrays (.npz), not one array; save one with numpy.save")
    if array.dtype.kind not in "biuf":
        raise BadInput(f"{path}: holds {array.dtype} values; save real numbers (integers or floats)")
    volumes = array.shape[3] if array.ndim == 4 else 1
    if array.ndim == 4:
        array = array[..., chosen_volume(path, array.shape[3], volume)]
    if array.ndim not in (2, 3) or array.size == 0:
        shown = " x ".join(map(str, array.shape)) or "scalar"
        raise BadInput(f"{path}: array of shape {shown}; save (rows, columns) or (rows, columns, slices)")
    file_shape = array.shape
    with np.errstate(over="ignore"):
        values = np.array(array, dtype=np.float32, order="C")
    rows, columns, slices = (*file_shape, 1)[:3]
    grid = unplaced_grid(shape=(rows, columns, slices), file_shape=file_shape, family="numpy")
    return values.reshape(grid.shape), replace(grid, volumes=volumes)


def write(stem: Path, array: NDArray[np.generic], grid: Grid, *, dtype: DTypeLike) -> Path:
    """Write a canonical array in the shape of the file it belongs to; channels become the last axis.

    Args:
        stem: the path without its ending; `.npy` is added.
        array: (rows, columns, slices) or (channels, rows, columns, slices).
        grid: of the scan.
        dtype: of the values in the file.

    Raises:
        BadInput: the place cannot be written.
    """
    path = stem.with_name(stem.name + ".npy")
    if array.ndim == 4:
        out = np.stack([grid.to_file(channel) for channel in array], axis=-1)
    else:
        out = grid.to_file(array)
    with whole_file(path) as partial, partial.open("wb") as file:
        np.save(file, out.astype(dtype, copy=False), allow_pickle=False)
    return path
