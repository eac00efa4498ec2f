"""NIfTI 1 and 2: canonical axes inside, the file's own axes, affine and header on the way out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from unlesion.errors import BadInput
from unlesion.files import whole_file
from unlesion.scans.checks import reason
from unlesion.scans.formats.choice import chosen_volume
from unlesion.scans.grid import CANONICAL_AXES, Grid

ENDINGS = (".nii", ".nii.gz")

# Axes of a single slice that is not axial, so that the thin axis is the slice axis and the picture
# still looks as it does on a reading screen: head up, front to the left or patient's right to the left.
_FLAT_AXES = {"sagittal": ("I", "P", "L"), "coronal": ("I", "L", "A")}

# The lowest three bits of `xyzt_units`: 1 is metres, 2 millimetres, 3 microns; 0 leaves it open.
_MM_PER_UNIT = {1: 1000.0, 3: 0.001}

# Axes that are not perpendicular by more than this are no rounding.
_SLANT_DEGREES = 0.5

# No deflate stream is shorter than this part of what it unfolds to.
_DEFLATE_LIMIT = 1100


def read(path: Path, *, volume: int | None = None) -> tuple[NDArray[np.float32], Grid]:
    """Read a NIfTI file, `.nii` or `.nii.gz`.

    The axes are put in the canonical order by the axis of the world that each is closest to; oblique
    affines stay oblique, and no voxel is interpolated. A file without a third axis is one slice; a single
    sagittal or coronal slice keeps its plane as rows and columns.

    Args:
        path: the file.
        volume: which volume of a 4-D file, counted from 0.

    Returns:
        (rows, columns, slices) float32 with slope and intercept applied, and the grid.

    Raises:
        BadInput: not readable, truncated, colour, complex, vectors, 4-D without a choice, or an affine
            that cannot be inverted.
    """
    import nibabel

    try:
        # nibabel would print what it mends in a header; what matters comes as an error or a warning.
        with nibabel.imageglobals.LoggingOutputSuppressor():
            image: Any = nibabel.load(path)  # type: ignore[attr-defined, unused-ignore]
        shape = tuple(int(size) for size in image.shape)
        header = image.header
    except Exception as error:  # a broken file makes decoders raise almost anything
        raise _unreadable(path, error) from error
    if not isinstance(image, nibabel.Nifti1Pair):
        raise BadInput(f"{path}: a {type(image).__name__}, not a plain NIfTI image; convert it to NIfTI")
    _check_kind(path, header.get_data_dtype(), shape)
    _check_length(path, header.get_data_dtype().itemsize, shape)
    if len(shape) > 3:
        index = chosen_volume(path, shape[3], volume)
        part: tuple[Any, ...] | None = (Ellipsis, index, *(0 for _ in shape[4:]))
    else:
        part = None
    try:
        with np.errstate(over="ignore"):
            array = np.asarray(image.dataobj if part is None else image.dataobj[part], dtype=np.float32)
    except Exception as error:
        raise _unreadable(path, error) from error
    # A 2-D or 1-D header still places three axes in the world.
    file_shape = shape[:3]
    volumes = shape[3] if len(shape) > 3 else 1
    grid = replace(grid_of_header(path, file_shape, header), volumes=volumes)
    return grid.from_file(array.reshape(file_shape)), grid


def write(stem: Path, array: NDArray[np.generic], grid: Grid, *, dtype: DTypeLike) -> Path:
    """Write a canonical array as `.nii.gz` in the axes, affine and header of the scan's own file.

    Args:
        stem: the path without its ending.
        array: (rows, columns, slices), or (channels, rows, columns, slices) for a 4-D file.
        grid: of the scan, read from a NIfTI file.
        dtype: of the values in the file; no slope or intercept is used.

    Raises:
        BadInput: the place cannot be written.
    """
    import nibabel

    path = stem.with_name(stem.name + ".nii.gz")
    if array.ndim == 4:
        parts = [grid.to_file(channel) for channel in array]
        flat = len(grid.file_shape) == 2
        out = np.stack([part[..., np.newaxis] if flat else part for part in parts], axis=-1)
    else:
        out = grid.to_file(array)
    header = grid.header.copy()
    header.set_data_shape(out.shape)
    header.set_data_dtype(dtype)
    kind = nibabel.Nifti2Image if isinstance(header, nibabel.Nifti2Header) else nibabel.Nifti1Image
    # With the affine that the header itself gives, nibabel leaves sform, qform and their codes alone.
    image = kind(out.astype(dtype, copy=False), header.get_best_affine(), header)  # type: ignore[no-untyped-call, unused-ignore]
    with whole_file(path) as partial:
        nibabel.save(image, partial)  # type: ignore[attr-defined, unused-ignore]
    return path


def grid_of_header(path: Path, file_shape: tuple[int, ...], header: Any) -> Grid:
    """The grid that a NIfTI header describes.

    Args:
        path: for messages.
        file_shape: spatial shape of the array in the file.
        header: nibabel's; a copy of it, without its texts, goes into the grid.

    Raises:
        BadInput: the affine is not finite or cannot be inverted.
    """
    from nibabel import orientations

    try:
        with np.errstate(all="ignore"):
            affine = np.array(header.get_best_affine(), dtype=np.float64)
    except Exception as error:  # quaternions or sizes that are none
        raise _bad_affine(path) from error
    affine[:3] *= _MM_PER_UNIT.get(int(header["xyzt_units"]) % 8, 1.0)
    if not np.isfinite(affine).all() or abs(np.linalg.det(_unit_columns(affine))) < 1e-6:
        raise _bad_affine(path)
    three = tuple((*file_shape, 1, 1)[:3])
    to_ras = orientations.io_orientation(affine)  # type: ignore[no-untyped-call, unused-ignore]
    wanted = orientations.axcodes2ornt(_axes(three, to_ras))  # type: ignore[no-untyped-call, unused-ignore]
    change = orientations.ornt_transform(to_ras, wanted)  # type: ignore[no-untyped-call, unused-ignore]
    order = [int(axis) for axis in change[:, 0]]
    shape = [0, 0, 0]
    for axis, target in enumerate(order):
        shape[target] = three[axis]
    canonical = affine @ orientations.inv_ornt_aff(change, three)  # type: ignore[no-untyped-call, unused-ignore]
    spacing = np.linalg.norm(canonical[:3, :3], axis=0)
    return Grid(
        shape=(shape[0], shape[1], shape[2]),
        affine=canonical,
        spacing=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
        spacing_known=True,
        family="nifti",
        file_shape=file_shape,
        axis_order=(order[0], order[1], order[2]),
        axis_flip=(bool(change[0, 1] < 0), bool(change[1, 1] < 0), bool(change[2, 1] < 0)),
        header=_clean(header, file_shape),
        notes=_notes(header, affine),
    )


def _notes(header: Any, affine: NDArray[np.float64]) -> tuple[str, ...]:
    """What a header leaves open, and what others may not expect of it."""
    notes = []
    if int(header["sform_code"]) == 0 and int(header["qform_code"]) == 0:
        notes.append("the header says nothing about orientation; the first axis was taken to run to the left")
    unit = _unit_columns(affine)
    slant = float(np.degrees(np.arcsin(np.clip(np.abs(unit.T @ unit - np.eye(3)).max(), 0, 1))))
    if slant > _SLANT_DEGREES:
        notes.append(
            f"its axes slant against one another by {slant:.1f} degrees (a tilted gantry?): kept as they are, and "
            "not straightened by preparation, so the image looks sheared to methods"
        )
    return tuple(notes)


def _axes(shape: tuple[int, ...], to_ras: NDArray[np.float64]) -> tuple[str, str, str]:
    """Canonical axes, or those of the plane where the image is one slice of another plane."""
    thin = [int(to_ras[axis, 0]) for axis in range(3) if shape[axis] == 1]
    if thin == [0]:
        return _FLAT_AXES["sagittal"]
    if thin == [1]:
        return _FLAT_AXES["coronal"]
    return CANONICAL_AXES


def _clean(header: Any, file_shape: tuple[int, ...]) -> Any:
    """A copy of the header for results: its geometry, none of its texts, which may name a patient."""
    header = header.copy()
    header.extensions.clear()
    header.set_data_shape(file_shape)
    header.set_slope_inter(None, None)
    header.set_intent("none")
    header["descrip"] = b"unlesion: research use, not a medical device"
    for name in ("aux_file", "db_name"):
        if name in header:
            header[name] = b""
    header["cal_min"] = header["cal_max"] = 0
    return header


def _check_kind(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    if dtype.kind == "V":
        raise BadInput(
            f"{path}: a colour image (RGB voxels); only grey images can be read, so convert it to grey"
        )
    if dtype.kind == "c":
        raise BadInput(f"{path}: complex voxels; save the magnitude")
    if any(size > 1 for size in shape[4:]):
        raise BadInput(f"{path}: several values a voxel (vectors or tensors); save one as a 3-D image")
    if not shape or min(shape) < 1:
        raise BadInput(f"{path}: holds no voxels; export the image again")


def _check_length(path: Path, itemsize: int, shape: tuple[int, ...]) -> None:
    """Refuse a header that promises more than the file can hold, before memory is asked for."""
    promised = itemsize * int(np.prod(np.array(shape, dtype=object)))
    limit = _DEFLATE_LIMIT if path.name.lower().endswith(".gz") else 1
    if promised > path.stat().st_size * limit:
        raise BadInput(
            f"{path}: truncated, or not a NIfTI file (voxels are missing); copy or export it again"
        )


def _unit_columns(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    axes = affine[:3, :3]
    lengths = np.linalg.norm(axes, axis=0)
    return axes / np.where(lengths > 0, lengths, 1.0)


def _bad_affine(path: Path) -> BadInput:
    return BadInput(f"{path}: the affine in the header cannot be inverted; correct the sform or qform")


def _unreadable(path: Path, error: Exception) -> BadInput:
    said = reason(error).replace(str(path), "the file")
    return BadInput(f"{path}: not readable as NIfTI, or truncated ({said}); copy or export it again")
