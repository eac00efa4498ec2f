"""A DICOM series as an array on a grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlesion.errors import BadInput
from unlesion.scans.formats.choice import chosen_volume
from unlesion.scans.formats.dicom.header import Header, read_header
from unlesion.scans.formats.dicom.pixels import is_negative, read_frames
from unlesion.scans.formats.dicom.series import Series, fault, gather, no_scan
from unlesion.scans.formats.dicom.sniff import ENDINGS, files_below, is_dicom
from unlesion.scans.formats.dicom.stack import NoStack, Stack, stack_frames
from unlesion.scans.formats.nifti import grid_of_header
from unlesion.scans.grid import Grid

# Left, posterior, up (DICOM) to right, anterior, up (NIfTI).
_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read(
    path: Path, *, volume: int | None = None, files: Sequence[Path] = ()
) -> tuple[NDArray[np.float32], Grid]:
    """Read a DICOM series, or a single file.

    Frames lie in the order of their positions along the slice normal; slanted (gantry tilt) and oblique
    planes stay as they are. The grid is that of a NIfTI file in the layout that dcm2niix writes.

    Args:
        path: a folder with one series, or a file.
        volume: which volume of a series that holds several at the same places, counted from 0.
        files: the files of the series, where `path` holds others besides.

    Returns:
        (rows, columns, slices) float32 with slope and intercept applied, and the grid.

    Raises:
        BadInput: no DICOM or several series, a localiser, colour, images that are double, missing, of
            different sizes or planes, truncated, or compressed in a way that cannot be decoded.
    """
    series, stack = stacked(path, files)
    frames = stack.volumes[chosen_volume(path, len(stack.volumes), volume)]
    pixels = read_frames(frames)
    array = frames_to_array(pixels)
    grid = _grid(path, stack, array.shape, _notes(series, stack))
    return grid.from_file(array), grid


def stacked(path: Path, files: Sequence[Path] = ()) -> tuple[Series, Stack]:
    """The one series at a path, and its frames in order; arguments and errors as in `read`, but no pixel is read."""
    series = _only_series(path, _headers(path, files))
    refused = no_scan(series)
    if refused:
        raise BadInput(f"{path}: DICOM series {series.title!r}: {refused}, no scan; leave it out")
    wrong = fault(series)
    if wrong:
        raise BadInput(f"{path}: DICOM series {series.title!r}: {wrong}")
    try:
        return series, stack_frames(series.frames)
    except NoStack as error:
        raise BadInput(f"{path}: DICOM series {series.title!r}: {error}") from error


def frames_to_array(pixels: NDArray[Any]) -> NDArray[Any]:
    """(slices, rows, columns) of frames in order to the array of the NIfTI file; rows run upwards there."""
    return pixels.transpose(2, 1, 0)[:, ::-1, :]


def array_to_frames(array: NDArray[Any]) -> NDArray[Any]:
    """The inverse of `frames_to_array`."""
    return array[:, ::-1, :].transpose(2, 1, 0)


def files_of(path: Path) -> tuple[Path, ...]:
    """The files that a path names: itself, or every file below it; none where it cannot be read."""
    try:
        return tuple(files_below(path)) if path.is_dir() else (path,)
    except OSError:
        return ()


def _headers(path: Path, files: Sequence[Path]) -> list[Header]:
    gone = [file for file in files if not file.is_file()]
    if gone:
        raise BadInput(f"{gone[0]}: no such file; check the path")
    found = [file for file in files or files_of(path) if is_dicom(file)]
    if not found and path.is_dir():
        raise BadInput(
            f"{path}: is a folder without DICOM files, not an image; name a file, or a folder with a series"
        )
    if not found:
        raise BadInput(f"{path}: not a DICOM file, whatever its name ({', '.join(ENDINGS)}); check it")
    return [read_header(file) for file in found]


def _only_series(path: Path, headers: Sequence[Header]) -> Series:
    found = gather(headers)
    if len(found) > 1:
        scans = [series for series in found if not no_scan(series)]
        found = scans or found[:1]
    if len(found) > 1:
        titles = ", ".join(repr(series.title) for series in found[:4]) + (", ..." if len(found) > 4 else "")
        raise BadInput(
            f"{path}: holds {len(found)} DICOM series ({titles}); open the folder itself as a cohort, or give "
            "every series a folder of its own"
        )
    return found[0]


def _grid(path: Path, stack: Stack, shape: tuple[int, ...], notes: tuple[str, ...]) -> Grid:
    import nibabel

    header: Any = nibabel.Nifti1Header()  # type: ignore[no-untyped-call, unused-ignore]
    header.set_data_shape(shape)
    header.set_xyzt_units("mm")
    if stack.affine is None:
        rows, columns = stack.volumes[0][0].spacing or (1.0, 1.0)
        header.set_zooms((columns, rows, 1.0))
    else:
        affine = _TO_RAS @ stack.affine
        # Rows run upwards in the file, as NIfTI tools expect.
        affine[:3, 3] += affine[:3, 1] * (shape[1] - 1)
        affine[:3, 1] *= -1
        header.set_sform(affine, code=1)
        # A qform cannot hold a slant; where it would be wrong there is none.
        header.set_qform(affine, code=0 if _is_slanted(affine) else 1)
    grid = grid_of_header(path, shape, header)
    return replace(
        grid, spacing_known=stack.spacing_known, volumes=len(stack.volumes), notes=(*grid.notes, *notes)
    )


def _is_slanted(affine: NDArray[np.float64]) -> bool:
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() > 1e-4)


def _notes(series: Series, stack: Stack) -> tuple[str, ...]:
    """What a reader of the series should know."""
    notes = []
    if any(is_negative(header) for header in series.headers):
        notes.append("low values are meant to be white (MONOCHROME1); the values were turned round")
    if not stack.spacing_known:
        notes.append("the DICOM header gives no pixel size")
    return tuple(notes)
