"""Sight: one scan as its files give it, faults and all. Nothing is refused here: faults are noted."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unlesion.errors import BadInput
from unlesion.prepare import foreground
from unlesion.prepare.stripped import is_stripped
from unlesion.scans import Entry, Grid
from unlesion.scans.checks import check_image, check_same_grid
from unlesion.scans.formats import notes, read_array
from unlesion.scans.formats.unplaced import with_spacing
from unlesion.scans.reading import marked

Voxels = NDArray[np.float32]

# Volumes are looked at in voxels of about this size where a fine grid would tell nothing more.
COARSE_MM = 3.0

# Modalities that show no head, so that nothing can be stripped.
NO_HEAD = {"CXR", "CR", "DX", "MG", "US"}


@dataclass(frozen=True)
class Problem:
    """What is wrong with one scan: the code of a finding, and one line."""

    code: str
    message: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Sight:
    """One scan, opened.

    Attributes:
        entry: its row.
        channels: (rows, columns, slices) float32 each, in canonical axes; voxels that were NaN or infinite
            are 0.
        grid: of the first channel.
        nonfinite: how many voxels were NaN or infinite.
        mask: (rows, columns, slices), the values of the lesion mask as its file has them; None where there
            is none, or it cannot be used.
        roi: the same for the region of interest.
        warnings: what the reader said.
    """

    entry: Entry
    channels: tuple[Voxels, ...]
    grid: Grid
    nonfinite: int = 0
    mask: Voxels | None = None
    roi: Voxels | None = None
    warnings: tuple[str, ...] = field(default=())

    @property
    def image(self) -> Voxels:
        """The first channel."""
        return self.channels[0]

    @cached_property
    def steps(self) -> tuple[int, int, int]:
        """Every how many voxels a volume is looked at, so that they are about 3 mm; 1 for pictures."""
        if self.grid.is_flat:
            return (1, 1, 1)
        # A volume of unknown voxels is looked at as if it had 64 along each side.
        sizes = self.grid.spacing if self.grid.spacing_known else tuple(64 / s for s in self.image.shape)
        wanted = COARSE_MM if self.grid.spacing_known else 1.0
        rows, columns, slices = (max(1, round(wanted / max(size, 1e-6))) for size in sizes)
        return rows, columns, slices

    @cached_property
    def coarse(self) -> Voxels:
        """The first channel in block means of `steps` voxels."""
        return foreground.block_mean(self.image, list(self.steps))

    @cached_property
    def object(self) -> NDArray[np.bool_]:
        """Like `coarse`: True in the head or whatever else lies in the picture, its holes filled."""
        # Of a brain alone all that is not background: grey values may lie on both sides of it.
        found = foreground.nonzero(self.coarse[None]) if self.stripped else foreground.head(self.coarse)
        return found if found.any() else np.ones_like(found)

    @cached_property
    def stripped(self) -> bool | None:
        """Whether it shows a brain alone; None for modalities that show no head."""
        if set(self.entry.modality) & NO_HEAD:
            return None
        given = None if self.roi is None else self.roi > 0
        return is_stripped(self.image, self.grid.spacing, given=given)

    @cached_property
    def background(self) -> float:
        """The commonest value at the image's edge."""
        return foreground.commonest_edge_value(self.image)


def open_sight(entry: Entry) -> tuple[Sight | None, list[Problem]]:
    """Open a scan and note every fault of its files; None where the image itself cannot be used."""
    if type(entry).read is not Entry.read:
        return _read_whole(entry)
    problems: list[Problem] = []
    channels: list[Voxels] = []
    grid: Grid | None = None
    nonfinite = 0
    series = entry.series or ((),) * len(entry.paths)
    for path, files in zip(entry.paths, series, strict=True):
        voxels, own = _open(path, entry.volume, problems, series=files)
        if voxels is None or own is None:
            continue
        nonfinite += int(voxels.size - np.isfinite(voxels).sum())
        voxels = _checked(voxels, path, problems)
        if voxels is None:
            continue
        if grid is None:
            grid = own
        elif not _same_grid(own, grid, path, "channel", problems):
            continue
        channels.append(voxels)
    others = {
        what: _companion(path, grid, what, problems, entry.volume)
        for what, path in (("mask", entry.mask_path), ("roi", entry.roi_path))
    }
    roi = others["roi"]
    if roi is not None and not (roi > 0).any():
        problems.append(
            Problem("roi.empty", f"{entry.roi_path}: this roi marks nothing; every other verb refuses it")
        )
    if entry.spacing_mm is not None and len(entry.spacing_mm) == 2 and grid is not None and not grid.is_flat:
        given = ",".join(f"{size:g}" for size in entry.spacing_mm)
        problems.append(Problem("spacing.refused", f"{entry.paths[0]}: spacing_mm {given} lacks the slices"))
    mask = others["mask"]
    if mask is not None and entry.mask_values:
        mask = marked(mask, entry.mask_values).astype(np.float32)
    for path in entry.twin_paths:
        _companion(path, grid, "twin", problems, entry.volume)
    if grid is None or len(channels) < len(entry.paths):
        return None, problems
    sight = Sight(
        entry=entry,
        channels=tuple(channels),
        grid=_with_given_spacing(grid, entry.spacing_mm),
        nonfinite=nonfinite,
        mask=mask,
        roi=others["roi"],
        warnings=notes(grid),
    )
    return sight, problems


def _with_given_spacing(grid: Grid, given: tuple[float, ...] | None) -> Grid:
    """The grid with the spacing of the manifest, where the file has none of its own."""
    if grid.spacing_known or given is None or (len(given) == 2 and not grid.is_flat):
        return grid
    return with_spacing(grid, {1: given * 3, 2: (*given, 1.0)}.get(len(given), given))


def _read_whole(entry: Entry) -> tuple[Sight | None, list[Problem]]:
    """For cohorts that read their scans in a way of their own (prepared stores, series of files)."""
    try:
        scan = entry.read()
    except BadInput as error:
        missing = any(not path.exists() for path in entry.files)
        return None, [Problem("file.missing" if missing else "file.unreadable", str(error))]
    sight = Sight(
        entry=entry,
        channels=tuple(scan.voxels),
        grid=scan.grid,
        mask=None if scan.lesions is None else scan.lesions.astype(np.float32),
        roi=None if scan.roi is None else scan.roi.astype(np.float32),
        warnings=scan.warnings,
    )
    return sight, []


def _open(
    path: Path, volume: int | None, problems: list[Problem], *, series: Sequence[Path] = ()
) -> tuple[Voxels | None, Grid | None]:
    try:
        return read_array(path, volume=volume, series=series)
    except BadInput as error:
        there = all(file.exists() for file in series or (path,))
        problems.append(Problem("file.unreadable" if there else "file.missing", str(error)))
        return None, None


def _checked(voxels: Voxels, path: Path, problems: list[Problem]) -> Voxels | None:
    try:
        return check_image(voxels, path)[0]
    except BadInput as error:
        if voxels.size == 0 or min(voxels.shape[:2]) < 16:
            code = "image.too-small"
        elif not np.isfinite(voxels).any():
            code = "image.not-finite"
        else:
            code = "image.constant"
        problems.append(Problem(code, str(error)))
        return None


def _same_grid(own: Grid, wanted: Grid, path: Path, what: str, problems: list[Problem]) -> bool:
    try:
        check_same_grid(own, wanted, path, what=what)
    except BadInput as error:
        problems.append(Problem(f"{what}.other-grid", str(error)))
        return False
    return True


def _companion(
    path: Path | None, grid: Grid | None, what: str, problems: list[Problem], volume: int | None
) -> Voxels | None:
    if path is None:
        return None
    voxels, own = _open(path, volume if what == "twin" else None, problems)
    if voxels is None or own is None:
        return None
    if grid is not None and not _same_grid(own, grid, path, what, problems):
        return None
    if not np.isfinite(voxels).all():
        missing = int(voxels.size - np.isfinite(voxels).sum())
        problems.append(Problem(f"{what}.not-finite", f"{path}: {missing} voxels are NaN or infinite"))
        voxels = np.nan_to_num(voxels, nan=0.0, posinf=0.0, neginf=0.0)
    return voxels


def failure(where: str, error: Exception) -> Problem:
    """The program's own fault while looking at one scan; the others go on."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    words = " ".join(str(error).split())
    return Problem(
        "doctor.failed", f"{where}: {type(error).__name__}: {words} ({place.name}, line {place.lineno})"
    )
