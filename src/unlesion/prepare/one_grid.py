"""The channels of a session on one grid: by what their headers say, or registered to each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlesion.errors import BadInput
from unlesion.prepare.itk import one_thread
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
        voxels: one array a channel, (rows, columns, slices) float32 in the file's own units; 0 where a channel shows nothing.
        grid: of the first channel, and of all.
        mask: (rows, columns, slices) float32, as in its file, or None.
        roi: likewise.
        moved_mm: how far each channel was moved at the middle of the field, beyond what headers say; 0 without registration.
        turned: by how many degrees.
        seen: share of the first channel's field that each shows.
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
    coarser. Masks take the nearest voxel, and go along with the channel whose grid they lie on.

    Args:
        entry: with joined channels.
        register: move each channel rigidly onto the first beforehand, by mutual information (Mattes et al., IEEE TMI 2003),
            starting from the headers; computed by SimpleITK.

    Raises:
        BadInput: a file cannot be read, has no positions, is a single slice, or shows nothing of what the first does.
    """
    series = entry.series or ((),) * len(entry.paths)
    read = []
    warnings: tuple[str, ...] = ()
    for path, files in zip(entry.paths, series, strict=True):
        array, grid = read_array(path, volume=entry.volume, series=files)
        array, more = check_image(array, path)
        warnings += more
        if grid.family != "nifti" or not grid.spacing_known:
            raise BadInput(f"{path}: says nothing of where it lies; give NIfTI files or DICOM series")
        if grid.is_flat:
            raise BadInput(f"{path}: a single slice, which cannot be laid onto another; give volumes")
        read.append((array, grid))
    first, grid = read[0]
    fixed = _itk(first, grid)
    names = [name or str(number) for number, name in enumerate(entry.modality, start=1)]
    voxels, shifts, turns, seen, moves = [first], [0.0], [0.0], [1.0], [None]
    for name, path, (array, own) in zip(names[1:], entry.paths[1:], read[1:], strict=True):
        moving = _itk(array, own)
        move = _registered(fixed, moving, path) if register else None
        share = float(_laid(_itk(np.ones_like(array), own), fixed, move, nearest=True).mean())
        if share == 0:
            raise BadInput(
                f"{path}: lies nowhere near {entry.paths[0].name}, its headers say; try --register"
            )
        shift, turn = _extent(move, fixed)
        if share < LITTLE:
            warnings += (f"{name} shows {100 * share:.0f} % of the field of {names[0]}, and is 0 beside it",)
        if shift > FAR_MM or turn > FAR_DEGREES:
            warnings += (f"{name} was moved by {shift:.0f} mm and {turn:.0f} degrees: look whether it fits",)
        voxels.append(_laid(_smoothed(moving, own, grid), fixed, move))
        shifts.append(shift)
        turns.append(turn)
        seen.append(share)
        moves.append(move)
    grids = [own for _, own in read]
    return Joined(
        voxels=tuple(voxels),
        grid=grid,
        mask=_mask(entry.mask_path, "mask", grids, moves, fixed),
        roi=_mask(entry.roi_path, "roi", grids, moves, fixed),
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


def _laid(moving: Any, fixed: Any, move: Any, *, nearest: bool = False) -> NDArray[np.float32]:
    """(rows, columns, slices) of an image on the grid of another; 0 beside it."""
    import SimpleITK as sitk

    how = sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear
    with one_thread():
        out = sitk.Resample(moving, fixed, move or sitk.Transform(), how, 0.0, sitk.sitkFloat32)
    return np.ascontiguousarray(sitk.GetArrayFromImage(out).transpose(2, 1, 0))


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
    """The rigid transform that lays `moving` onto `fixed`."""
    import SimpleITK as sitk

    start = sitk.Euler3DTransform()
    middle = fixed.TransformContinuousIndexToPhysicalPoint([(size - 1) / 2 for size in fixed.GetSize()])
    start.SetCenter(middle)
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(numberOfHistogramBins=32)
    # A fixed seed: the same scans lie alike in every run.
    factors = [_shrink(fixed, 4), _shrink(fixed, 2), 1]
    points = float(np.prod(fixed.GetSize()))
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentagePerLevel(
        [min(0.5, SAMPLES * factor**3 / points) for factor in factors], seed=1
    )
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=2.0,
        minStep=0.005,
        numberOfIterations=150,
        relaxationFactor=0.6,
        gradientMagnitudeTolerance=1e-6,
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(factors)
    method.SetSmoothingSigmasPerLevel([4.0, 2.0, 0.0])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetInitialTransform(start, inPlace=True)
    real = sitk.sitkFloat32
    try:
        with one_thread():
            method.Execute(sitk.Cast(fixed, real), sitk.Cast(moving, real))
    except RuntimeError as error:
        said = str(error).strip().splitlines()[-1]
        raise BadInput(
            f"{path}: could not be registered ({said.partition(': ')[2] or said}); look at its header"
        ) from error
    return start


def _shrink(image: Any, factor: int) -> int:
    """As much, if enough points are left along every axis."""
    return max(1, min(factor, min(image.GetSize()) // FEWEST_POINTS))


def _extent(move: Any, fixed: Any) -> tuple[float, float]:
    """Millimetres at the middle of the field, and degrees."""
    if move is None:
        return 0.0, 0.0
    matrix = np.asarray(move.GetMatrix()).reshape(3, 3)
    turn = float(np.degrees(np.arccos(np.clip((np.trace(matrix) - 1) / 2, -1.0, 1.0))))
    return float(np.linalg.norm(move.GetTranslation())), turn


def _mask(
    path: Path | None, what: str, grids: list[Grid], moves: list[Any], fixed: Any
) -> NDArray[np.float32] | None:
    """A mask on the first grid; it lies on that of the first channel that has the same.

    Raises:
        BadInput: it lies on none.
    """
    if path is None:
        return None
    array, own = read_array(path)
    for grid, move in zip(grids, moves, strict=True):
        try:
            check_same_grid(own, grid, path, what=what)
        except BadInput:
            continue
        return _laid(_itk(array, grid), fixed, move, nearest=True)
    raise BadInput(
        f"{path}: this {what} lies on the grid of none of the channels; resample it to one of them"
    )
