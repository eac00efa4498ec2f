"""The channels of a session on one grid: by what their headers say, or registered to each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlesion.errors import BadInput
from unlesion.prepare.itk import descend, mutual_information, one_thread
from unlesion.scans.checks import check_image, check_same_grid
from unlesion.scans.entry import Entry
from unlesion.scans.formats import read_array
from unlesion.scans.grid import Grid

# A channel that shows less of the first one's field than this is worth a word.
LITTLE = 0.9
# Heads lie still within a session; what moved further is hardly the same one, or badly registered.
FAR_MM, FAR_DEGREES = 15.0, 10.0
# Voxels that a registration looks at, at each level: six numbers need no more.
SAMPLES = 100_000
# Points of the coarsest level: fewer make a registration of nothing.
FEWEST_POINTS = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class Joined:
    """The channels of a scan on the grid of its first.

    Attributes:
        voxels: one array a channel, (rows, columns, slices) float32 in the file's own units; its lowest value where a channel shows nothing.
        grid: of the first channel, and of all.
        mask: (rows, columns, slices) float32, as in its file, or None.
        roi: likewise.
        moved_mm: how far each channel was moved at the middle of the field, beyond what headers say; 0 without registration.
        turned: by how many degrees.
        seen: share of the first channel's field that each shows, 0 to 1.
        warnings: what was noticed.
    """

    voxels: tuple[NDArray[np.float32], ...]
    grid: Grid
    mask: NDArray[np.float32] | None
    roi: NDArray[np.float32] | None
    moved_mm: tuple[float, ...]
    turned: tuple[float, ...]
    seen: tuple[float, ...]
    warnings: tuple[str, ...]


def on_one_grid(entry: Entry, *, register: bool) -> Joined:
    """Bring the channels of a scan to the grid of the first.

    Each is interpolated linearly where its header says that it lies; a finer one is smoothed before, as far as the first is
    coarser. Masks take the nearest voxel, and go along with the channel that they were drawn on.

    Args:
        entry: with joined channels.
        register: move each channel rigidly onto the first beforehand, by mutual information (Mattes et al., IEEE TMI 2003),
            starting from the headers, or from the middles where headers say that they lie apart; computed by SimpleITK.

    Raises:
        BadInput: a file cannot be read, has no positions, is a single slice, or shows nothing of what the first does.
    """
    series = entry.series or ((),) * len(entry.paths)
    read = []
    warnings: tuple[str, ...] = ()
    for path, files in zip(entry.paths, series, strict=True):
        array, grid = read_array(path, volume=entry.volume, series=files)
        array, more = check_image(array, path)
        warnings += more + tuple(f"{path.name}: {note}" for note in grid.notes)
        if grid.family != "nifti" or not grid.spacing_known:
            raise BadInput(f"{path}: says nothing of where it lies; give NIfTI files or DICOM series")
        if grid.is_flat:
            raise BadInput(f"{path}: a single slice, which cannot be laid onto another; give volumes")
        read.append((array, grid))
    first, grid = read[0]
    fixed = _itk(first, grid)
    names = [name or str(number) for number, name in enumerate(entry.modality, start=1)]
    voxels, shifts, turns, seen = [first], [0.0], [0.0], [1.0]
    moves: list[Any] = [None]
    for name, path, (array, own) in zip(names[1:], entry.paths[1:], read[1:], strict=True):
        moving = _itk(array, own)
        move = None
        if register:
            move = _registered(fixed, moving, path)
            if move is None:
                warnings += (f"{name}: registration found nothing better than its header, and left it there",)
        share = _share(own, fixed, move)
        if share == 0:
            hint = "it may be of another session" if register else "try --register"
            raise BadInput(
                f"{path}: shows nothing of the field of {entry.paths[0].name}, its header says; {hint}"
            )
        shift, turn = _extent(move)
        if share < LITTLE:
            warnings += (
                f"{name} shows {100 * share:.0f} % of the field of {names[0]}, and is empty beside it",
            )
        if shift > FAR_MM or turn > FAR_DEGREES:
            warnings += (f"{name} was moved by {shift:.0f} mm and {turn:.0f} degrees: look whether it fits",)
        laid = _laid(_smoothed(moving, own, grid), fixed, move, beside=float(array.min()))
        if laid.min() == laid.max():
            raise BadInput(f"{path}: is constant where it shows the field of {entry.paths[0].name}")
        voxels.append(laid)
        shifts.append(shift)
        turns.append(turn)
        seen.append(share)
        moves.append(move)
    grids = [own for _, own in read]
    mask = _mask(entry.mask_path, "mask", entry.mask_channel, grids, moves, fixed)
    roi = _mask(entry.roi_path, "roi", entry.roi_channel, grids, moves, fixed)
    if mask is not None and mask[1] and not mask[0].any():
        warnings += (
            f"the mask marks nothing any more on the grid of {names[0]}: too small for it, or beside it",
        )
    if roi is not None and not roi[0].any():
        raise BadInput(
            f"{entry.roi_path}: this roi marks nothing on the grid of {names[0]}; correct or remove it"
        )
    return Joined(
        voxels=tuple(voxels),
        grid=grid,
        mask=None if mask is None else mask[0],
        roi=None if roi is None else roi[0],
        moved_mm=tuple(shifts),
        turned=tuple(turns),
        seen=tuple(seen),
        warnings=warnings,
    )


def _itk(array: NDArray[Any], grid: Grid) -> Any:
    """A SimpleITK image in the world of its header."""
    import SimpleITK as sitk

    # World coordinates of NIfTI run to right and front, those of ITK to left and back.
    to_world = np.diag([-1.0, -1.0, 1.0]) @ grid.affine[:3, :3]
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    image.SetSpacing([float(size) for size in grid.spacing])
    image.SetDirection((to_world / np.asarray(grid.spacing)).ravel().tolist())
    image.SetOrigin((np.diag([-1.0, -1.0, 1.0]) @ grid.affine[:3, 3]).tolist())
    return image


def _laid(
    moving: Any, fixed: Any, move: Any, *, nearest: bool = False, beside: float = 0.0
) -> NDArray[np.float32]:
    """(rows, columns, slices) of an image on the grid of another; `beside` where it shows nothing."""
    import SimpleITK as sitk

    how = sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear
    with one_thread():
        out = sitk.Resample(moving, fixed, move or sitk.Transform(), how, beside, sitk.sitkFloat32)
    return np.ascontiguousarray(sitk.GetArrayFromImage(out).transpose(2, 1, 0))


def _share(own: Grid, fixed: Any, move: Any) -> float:
    """How much of a field another grid covers."""
    return float(_laid(_itk(np.ones(own.shape, np.float32), own), fixed, move, nearest=True).mean())


def _smoothed(moving: Any, own: Grid, wanted: Grid) -> Any:
    """Smoothed along each axis as far as the wanted voxels are larger there, lest fine detail turns into patterns."""
    import SimpleITK as sitk

    mine = own.affine[:3, :3] / np.asarray(own.spacing)
    sizes = np.abs(mine.T @ wanted.affine[:3, :3]).max(axis=1)
    # Half the width of what the larger voxel adds to the smaller one.
    sigmas = 0.5 * np.sqrt(np.clip(sizes**2 - np.asarray(own.spacing) ** 2, 0.0, None))
    with one_thread():
        for axis, sigma in enumerate(sigmas):
            if sigma > 0.25 * own.spacing[axis] and moving.GetSize()[axis] >= 4:
                smooth = sitk.RecursiveGaussianImageFilter()
                smooth.SetDirection(axis)
                smooth.SetSigma(float(sigma))
                moving = smooth.Execute(moving)
    return moving


def _registered(fixed: Any, moving: Any, path: Path) -> Any:
    """The rigid transform that lays `moving` onto `fixed`; None if nothing fits better than its header."""
    import SimpleITK as sitk

    fixed, moving = sitk.Cast(fixed, sitk.sitkFloat32), sitk.Cast(moving, sitk.sitkFloat32)
    header = _start(fixed, moving)
    start = sitk.Euler3DTransform(header)
    factors = [_shrink(fixed, 4), _shrink(fixed, 2), 1]
    points = float(np.prod(fixed.GetSize()))
    try:
        # What is made within the block computes in one thread, too.
        with one_thread():
            method = mutual_information()
            descend(
                method,
                learning_rate=2.0,
                min_step=0.005,
                iterations=150,
                factors=factors,
                sigmas=(4.0, 2.0, 0.0),
            )
            # A fixed seed: the same scans lie alike in every run.
            method.SetMetricSamplingStrategy(method.RANDOM)
            method.SetMetricSamplingPercentagePerLevel(
                [_sampled(points, factor) for factor in factors], seed=1
            )
            method.SetInitialTransform(start, inPlace=True)
            method.Execute(fixed, moving)
            found = [_unlikeness(fixed, moving, move, points) for move in (header, start)]
    except RuntimeError as error:
        said = str(error).strip().splitlines()[-1]
        raise BadInput(
            f"{path}: could not be registered ({said.partition(': ')[2] or said}); look at its header"
        ) from error
    if found[1] < found[0]:
        return start
    return header if any(header.GetTranslation()) else None


def _start(fixed: Any, moving: Any) -> Any:
    """Where headers say; the middles on each other where they say that the two lie apart."""
    import SimpleITK as sitk

    transform = sitk.Euler3DTransform()
    middle, other = (
        np.asarray(
            image.TransformContinuousIndexToPhysicalPoint([(size - 1) / 2 for size in image.GetSize()])
        )
        for image in (fixed, moving)
    )
    transform.SetCenter(middle.tolist())
    inside = sitk.Resample(
        sitk.Cast(moving * 0 + 1, sitk.sitkUInt8), fixed, sitk.Transform(), sitk.sitkNearestNeighbor
    )
    if not sitk.GetArrayViewFromImage(inside).any():
        transform.SetTranslation((other - middle).tolist())
    return transform


def _unlikeness(fixed: Any, moving: Any, move: Any, points: float) -> float:
    """Minus the mutual information under a transform, of the same voxels for each."""
    method = mutual_information()
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(_sampled(points, 1), seed=1)
    method.SetInitialTransform(move)
    return float(method.MetricEvaluate(fixed, moving))


def _sampled(points: float, factor: int) -> float:
    """The share of the voxels of a level that is looked at."""
    return float(min(0.5, SAMPLES * factor**3 / points))


def _shrink(image: Any, factor: int) -> int:
    """As much, if enough points are left along every axis."""
    return max(1, min(factor, min(image.GetSize()) // FEWEST_POINTS))


def _extent(move: Any) -> tuple[float, float]:
    """Millimetres at the middle of the field, and degrees."""
    if move is None:
        return 0.0, 0.0
    matrix = np.asarray(move.GetMatrix()).reshape(3, 3)
    turn = float(np.degrees(np.arccos(np.clip((np.trace(matrix) - 1) / 2, -1.0, 1.0))))
    return float(np.linalg.norm(move.GetTranslation())), turn


def _mask(
    path: Path | None, what: str, drawn_on: int, grids: list[Grid], moves: list[Any], fixed: Any
) -> tuple[NDArray[np.float32], bool] | None:
    """A mask on the first grid, and whether it marks anything on its own.

    It goes with the channel that it was drawn on, if it lies on that grid, else with the first whose grid is its own.

    Raises:
        BadInput: it lies on none.
    """
    if path is None:
        return None
    array, own = read_array(path)
    for channel in (drawn_on, *range(len(grids))):
        try:
            check_same_grid(own, grids[channel], path, what=what)
        except BadInput:
            continue
        return _laid(_itk(array, grids[channel]), fixed, moves[channel], nearest=True), bool(array.any())
    raise BadInput(
        f"{path}: this {what} lies on the grid of none of the channels; resample it to one of them"
    )
