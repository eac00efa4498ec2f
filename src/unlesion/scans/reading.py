"""From files to a `Scan`: channels, mask, region of interest and twin on one grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unlesion.errors import BadInput
from unlesion.scans.checks import check_image, check_same_grid, mend
from unlesion.scans.formats import notes, read_array, without_ending
from unlesion.scans.formats.unplaced import with_spacing
from unlesion.scans.grid import Grid
from unlesion.scans.scan import Scan
from unlesion.wording import count

AnyPath = str | PathLike[str]

# Values of a mask this near to each other are one label.
SAME_LABEL = 0.05


def read_scan(
    path: AnyPath | Sequence[AnyPath],
    *,
    mask: AnyPath | None = None,
    mask_values: Sequence[float] = (),
    roi: AnyPath | None = None,
    twin: AnyPath | Sequence[AnyPath] | None = None,
    volume: int | None = None,
    spacing_mm: float | Sequence[float] | None = None,
    key: str = "",
    subject: str = "",
    scan_id: str = "",
    modality: str | Sequence[str] = (),
    position: float | None = None,
    series: Sequence[Sequence[AnyPath]] = (),
) -> Scan:
    """Read a scan of one or more channels.

    Args:
        path: the image (`.nii`, `.nii.gz`, `.png`, `.jpg`, `.tif`, `.npy`, a DICOM file, or a folder with
            one DICOM series), or one a channel.
        mask: the annotated lesions, on the same grid; above 0 is lesion.
        mask_values: the values of the mask that are lesion, where not all above 0 are; the others above 0 are `unjudged`.
        roi: the region of interest, on the same grid; above 0 is inside.
        twin: the true healthy counterpart, one file a channel, on the same grid.
        volume: which volume of 4-D files, counted from 0.
        spacing_mm: size of a voxel of a picture or bare array in mm: one number, (rows, columns), or
            (rows, columns, slices). NIfTI files have their own.
        key: name of the scan; its file name without ending if left out.
        subject: who it is from; `key` if left out.
        scan_id: which examination; `key` if left out.
        modality: one name a channel.
        position: relative height of a flat scan in its volume, 0 lowest to 1 highest.
        series: for every channel the files of its DICOM series, where its folder holds more than that.

    Returns:
        The scan: voxels float32 and finite, in canonical axes and the file's intensity units.

    Raises:
        BadInput: a file is missing, empty, truncated, no grey image, constant, under 16 pixels in-plane,
            without a finite voxel, 4-D without a choice, or on another grid than the first channel.
    """
    paths = _as_paths(path)
    if not paths:
        raise BadInput("no image was named; give a path, or one a channel")
    names = (modality,) if isinstance(modality, str) else tuple(modality)
    if names and len(names) != len(paths):
        raise BadInput(
            f"{paths[0]}: {count(len(paths), 'channel')} but {count(len(names), 'modality', 'modalities')}; name one a channel"
        )
    if position is not None and not 0 <= position <= 1:
        raise BadInput(f"{paths[0]}: position {position:g} is not between 0 (lowest) and 1 (highest)")

    parts = [tuple(Path(file) for file in files) for files in series] or [()] * len(paths)
    channels, grid, warnings = _read_channels(paths, parts, volume)
    # Masks and twins lie where their own headers say, as the scan's does, whatever size of pixels is given for it.
    own = grid
    if spacing_mm is not None:
        grid, warning = _given_spacing(grid, spacing_mm, paths[0])
        warnings += warning
    twin_voxels = None
    twins = _as_paths(twin)
    if twins:
        twin_voxels = _read_twin(twins, own, len(paths), volume)
    key = key or without_ending(paths[0].name)
    lesions, unjudged = (None, None) if mask is None else _read_lesions(mask, own, mask_values)
    return Scan(
        voxels=channels,
        grid=grid,
        key=key,
        subject=subject or key,
        scan_id=scan_id or key,
        modality=names or ("",) * len(paths),
        position=position,
        roi=None if roi is None else _read_roi(roi, own),
        lesions=lesions,
        unjudged=unjudged,
        twin=twin_voxels,
        warnings=warnings,
    )


def read_mask(path: AnyPath, grid: Grid, *, what: str = "mask") -> NDArray[np.bool_]:
    """Read a mask that belongs to a scan.

    Args:
        path: the mask, of the same family of formats as the scan.
        grid: of the scan.
        what: "mask" or "roi", for the message.

    Returns:
        (rows, columns, slices) bool in canonical axes: True where the value is above 0.

    Raises:
        BadInput: unreadable, or on another grid (the message says how it differs).
    """
    return marked(_on_grid(path, grid, what))


def marked(mask: NDArray[np.float32], values: Sequence[float] = ()) -> NDArray[np.bool_]:
    """Where a mask has one of the values; without them, where it is above 0.

    Labels that were stored with a slope come back a little off their whole numbers.
    """
    if not values:
        return mask > 0
    out = np.zeros(mask.shape, dtype=bool)
    for value in values:
        out |= np.abs(mask - value) < SAME_LABEL
    return out


def has_marks(mask: AnyPath, values: Sequence[float] = ()) -> bool | None:
    """Whether a mask marks any voxel, wherever it lies; None where it cannot be read.

    Args:
        mask: the file.
        values: those that count; without them every value above 0 does.

    A file that has not changed since is not read again: a cohort asks when it is opened, a training once more, and a
    benchmark opens its cohorts for every row.
    """
    path = Path(mask)
    try:
        if path.is_dir():
            return _any_marks(path, tuple(values))
        state = path.stat()
        return _any_marks_of(path, tuple(values), state.st_ino, state.st_size, state.st_mtime_ns)
    except (OSError, BadInput):
        return None


def _on_grid(path: AnyPath, grid: Grid, what: str) -> NDArray[np.float32]:
    path = Path(path)
    array, own = read_array(path)
    check_same_grid(own, grid, path, what=what)
    return array


def _read_roi(path: AnyPath, grid: Grid) -> NDArray[np.bool_]:
    roi = read_mask(path, grid, what="roi")
    if not roi.any():
        # Nothing would be looked at, and nothing found.
        raise BadInput(f"{path}: this roi marks nothing; correct it, or leave roi_path empty for an estimate")
    return roi


def _read_lesions(
    path: AnyPath, grid: Grid, values: Sequence[float]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_] | None]:
    """The lesions of a mask, and what else it marks, if anything."""
    array = _on_grid(path, grid, "mask")
    lesions = marked(array, values)
    others = marked(array) & ~lesions
    return lesions, others if others.any() else None


def _any_marks(path: Path, values: tuple[float, ...]) -> bool:
    array, _ = read_array(path)
    return bool(marked(array, values).any())


@lru_cache(maxsize=100_000)
def _any_marks_of(path: Path, values: tuple[float, ...], *state: int) -> bool:
    """As `_any_marks`, once for every state of a file."""
    return _any_marks(path, values)


def parse_spacing(text: str) -> tuple[float, ...]:
    """Millimetres from "0.7", "0.7,0.8" or "0.7,0.8,3".

    Raises:
        ValueError: not one to three positive numbers.
    """
    sizes = tuple(float(part) for part in text.split(","))
    if len(sizes) > 3 or not all(math.isfinite(size) and size > 0 for size in sizes):
        raise ValueError(text)
    return sizes


def _read_channels(
    paths: list[Path], series: Sequence[Sequence[Path]], volume: int | None
) -> tuple[NDArray[np.float32], Grid, tuple[str, ...]]:
    first, grid = read_array(paths[0], volume=volume, series=series[0])
    first, warnings = check_image(first, paths[0])
    warnings += notes(grid) + _unused_choice(paths[0], grid, volume)
    if len(paths) == 1:
        return first[np.newaxis], grid, warnings
    voxels = np.empty((len(paths), *grid.shape), dtype=np.float32)
    voxels[0] = first
    for index, path in enumerate(paths[1:], start=1):
        values, own = read_array(path, volume=volume, series=series[index])
        check_same_grid(own, grid, path, what="channel")
        voxels[index], more = check_image(values, path)
        warnings += more + _unused_choice(path, own, volume)
    return voxels, grid, warnings


def _unused_choice(path: Path, grid: Grid, volume: int | None) -> tuple[str, ...]:
    """A choice of a volume that is not there, because the file holds a single one."""
    if not volume or grid.volumes > 1:
        return ()
    return (f"volume {volume} was asked for, but {path.name} holds a single one, which was taken",)


def _read_twin(paths: list[Path], grid: Grid, channels: int, volume: int | None) -> NDArray[np.float32]:
    if len(paths) != channels:
        raise BadInput(
            f"{paths[0]}: {count(len(paths), 'twin image')} for {count(channels, 'channel')}; name one a channel"
        )
    voxels = np.empty((channels, *grid.shape), dtype=np.float32)
    for index, path in enumerate(paths):
        values, own = read_array(path, volume=volume)
        check_same_grid(own, grid, path, what="twin")
        voxels[index] = mend(values, path)[0]
    return voxels


def _given_spacing(
    grid: Grid, spacing_mm: float | Sequence[float], path: Path
) -> tuple[Grid, tuple[str, ...]]:
    """The grid with the spacing that the user gave, where the file itself has none."""
    given = (spacing_mm,) if isinstance(spacing_mm, int | float) else tuple(spacing_mm)
    if not 1 <= len(given) <= 3 or not all(math.isfinite(size) and size > 0 for size in given):
        raise BadInput(f"{path}: spacing_mm {spacing_mm} is not one to three positive numbers of millimetres")
    if len(given) == 1:
        sizes = (given[0], given[0], given[0])
    elif len(given) == 2:
        if not grid.is_flat:
            raise BadInput(f"{path}: spacing_mm {spacing_mm} lacks the slices; give rows, columns and slices")
        sizes = (given[0], given[1], 1.0)
    else:
        sizes = (given[0], given[1], given[2])
    if not grid.spacing_known:
        return with_spacing(grid, sizes), ()
    known = np.array(grid.spacing[: len(given)] if len(given) > 1 else grid.spacing[:2])
    if np.allclose(known, sizes[: len(known)], rtol=0.01):
        return grid, ()
    shown = " x ".join(f"{size:g}" for size in grid.spacing)
    return grid, (f"spacing_mm was not used: the header of {path.name} says {shown} mm",)


def _as_paths(path: AnyPath | Sequence[AnyPath] | None) -> list[Path]:
    if path is None:
        return []
    if isinstance(path, str | PathLike):
        return [Path(path)]
    return [Path(one) for one in path]
