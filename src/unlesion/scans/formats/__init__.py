"""One reader-writer a format; which one is chosen by the ending of the name.

Every format module has `ENDINGS`, `read(path, *, volume=None)` and `write(stem, array, grid, *, dtype)`;
DICOM is only read, from folders and from files of any name, and written as NIfTI.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from unlesion.errors import BadInput
from unlesion.scans.checks import reason
from unlesion.scans.formats import bare, dicom, nifti, picture
from unlesion.scans.grid import Grid

_FORMATS: tuple[ModuleType, ...] = (nifti, picture, bare, dicom)

ENDINGS: tuple[str, ...] = tuple(ending for module in _FORMATS for ending in module.ENDINGS)
"""Endings of the files that can be read, in lower case."""


def ending_of(name: str) -> str:
    """The ending of a file name that says its format (".nii.gz", ".png"); "" if it is no image's."""
    lower = name.lower()
    fitting = [ending for ending in ENDINGS if lower.endswith(ending)]
    return max(fitting, key=len, default="")


def without_ending(name: str) -> str:
    """`name` less the ending of its format: "a/x.nii.gz" gives "a/x"; other names stay."""
    ending = ending_of(name)
    return name[: len(name) - len(ending)] if ending else name


def read_array(
    path: Path, *, volume: int | None = None, series: Sequence[Path] = ()
) -> tuple[NDArray[np.float32], Grid]:
    """Read an image file of any format, or a DICOM series.

    Args:
        path: the file, or a folder with one DICOM series.
        volume: which volume of a 4-D file, or page of a TIFF, counted from 0; 0 is meant where there is one.
        series: the files of the DICOM series, where the folder `path` holds more than that.

    Returns:
        (rows, columns, slices) float32 in canonical axes, and the grid.

    Raises:
        BadInput: missing, empty, truncated, no image, colour, complex, or 4-D without a choice.
    """
    path = Path(path)
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        if isinstance(error, PermissionError):
            raise BadInput(f"{path}: cannot be read ({reason(error)}); check its permissions") from error
        raise BadInput(f"{path}: no such file; check the path") from error
    if series or stat.S_ISDIR(status.st_mode):
        return dicom.read(path, volume=volume, files=series)
    ending = ending_of(path.name)
    if not ending and dicom.is_dicom(path):
        return dicom.read(path, volume=volume)
    if not ending:
        raise BadInput(f"{path}: not a format that can be read; use one of {', '.join(ENDINGS)}")
    if status.st_size == 0:
        raise BadInput(f"{path}: the file is empty (0 bytes); copy or export it again")
    for module in _FORMATS:
        if ending in module.ENDINGS:
            array, grid = module.read(path, volume=volume)
            return array, grid
    raise AssertionError(ending)


def notes(grid: Grid) -> tuple[str, ...]:
    """What the reader of a grid had to assume, as warnings."""
    return grid.notes
