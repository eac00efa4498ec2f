"""Implanted scans on disk: in the format of their originals, which are linked beside them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlesion.errors import BadInput
from unlesion.files import whole_file
from unlesion.scans import Grid
from unlesion.scans.formats import bare, nifti, picture

FAMILIES = ("nifti", "picture", "numpy")


def check_family(key: str, grid: Grid) -> None:
    """Refuse a scan that no writer gives back in its own format."""
    if grid.family not in FAMILIES:
        raise BadInput(f"{key}: implants are written as NIfTI, PNG or NumPy; convert the scan first")


def write_scan(stem: Path, array: NDArray[np.float32], grid: Grid, original: Path) -> Path:
    """Write (rows, columns, slices) as the original stores it, whole numbers where it has whole numbers."""
    values = original_values(original, grid)
    whole = bool((values % 1 == 0).all())
    if grid.family == "picture":
        if not whole:
            raise BadInput(f"{original}: a picture of fractions; save it as 8- or 16-bit PNG or as NumPy")
        return picture.write(
            stem, _rounded(array, _picture_type(original)), grid, dtype=_picture_type(original)
        )
    kind = _stored_type(original, grid)
    # With a slope or intercept in the header values lie beyond the type that they are stored in.
    if whole and np.issubdtype(kind, np.integer) and _holds(kind, values):
        array = _rounded(array, kind)
    else:
        kind = np.dtype(np.float32)
    module: Any = nifti if grid.family == "nifti" else bare
    return Path(module.write(stem, array, grid, dtype=kind))


def write_mask(stem: Path, mask: NDArray[np.bool_], grid: Grid) -> Path:
    """Write a mask in the family of formats of its scan."""
    values = mask.astype(np.uint8)
    if grid.family == "picture":
        return picture.write(stem, values * np.uint8(255), grid, dtype=np.uint8)
    module: Any = nifti if grid.family == "nifti" else bare
    return Path(module.write(stem, values, grid, dtype=np.uint8))


def link_or_copy(source: Path, target: Path) -> None:
    """Put a file at another place too: a hard link where the file system allows it, else a copy.

    Raises:
        BadInput: it cannot be read or written.
    """
    try:
        if target.exists() and (
            target.samefile(source)
            or (target.stat().st_size, target.stat().st_mtime_ns)
            == (source.stat().st_size, source.stat().st_mtime_ns)
        ):
            return
    except OSError as error:
        raise BadInput(f"{source}: cannot be read ({error.strerror}); check the path") from error
    with whole_file(target) as partial:
        partial.unlink()
        try:
            os.link(source.resolve(), partial)
        except OSError:
            shutil.copy2(source, partial)


def original_values(path: Path, grid: Grid) -> NDArray[Any]:
    """A few thousand values of the file as read, to see whether they are whole numbers; its ends among them."""
    module: Any = {"nifti": nifti, "picture": picture, "numpy": bare}[grid.family]
    values, _ = module.read(path)
    flat = values.ravel()
    return np.concatenate([flat[:: max(1, flat.size // 5000)], [flat.min(), flat.max()]])


def _holds(kind: np.dtype[Any], values: NDArray[Any]) -> bool:
    limits = np.iinfo(kind)
    return bool(limits.min <= values.min() and values.max() <= limits.max)


def _stored_type(original: Path, grid: Grid) -> np.dtype[Any]:
    if grid.family == "nifti":
        return np.dtype(grid.header.get_data_dtype())
    return np.dtype(np.load(original, mmap_mode="r", allow_pickle=False).dtype)


def _picture_type(original: Path) -> Any:
    from PIL import Image

    with Image.open(original) as image:
        return np.uint8 if image.mode in ("L", "P", "RGB", "RGBA", "LA", "1", "PA") else np.uint16


def _rounded(array: NDArray[np.float32], kind: Any) -> NDArray[Any]:
    limits = np.iinfo(kind)
    return np.clip(np.rint(array), limits.min, limits.max).astype(kind)
