"""Affine alignment of a brain volume to the MNI152 template, coarse and repeatable."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unlesion.prepare import foreground
from unlesion.prepare.itk import descend, mutual_information, one_thread
from unlesion.prepare.roi import Region
from unlesion.scans.scan import Scan

if TYPE_CHECKING:
    from unlesion.prepare.align import Frame

Spacing = tuple[float, float, float]

# Registration runs on voxels of this size: a coarse affine map gains nothing from finer ones.
COARSE_MM = 4.0


@lru_cache(maxsize=1)
def brain_template() -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The MNI152 T1 brain (packaged with nilearn) on `COARSE_MM` voxels.

    Returns:
        (rows, columns, slices) float32 in canonical axes, and (3,) the position in mm (posterior, left,
        up from the template's origin) of voxel (0, 0, 0).
    """
    from nilearn.datasets import load_mni152_template

    image = load_mni152_template(resolution=int(COARSE_MM))
    data = np.asarray(image.dataobj, dtype=np.float32)
    # The file runs right, anterior, superior; canonical axes run posterior, left, superior.
    data = np.ascontiguousarray(data.transpose(1, 0, 2)[::-1, ::-1])
    first = image.affine[:3, 3]
    sizes = np.array(data.shape)
    origin = np.array(
        [
            -(first[1] + (sizes[0] - 1) * COARSE_MM),
            -(first[0] + (sizes[1] - 1) * COARSE_MM),
            first[2],
        ]
    )
    return data, origin


def frame(scan: Scan, region: Region, spacing: Spacing, *, start: Frame) -> Frame:
    """The frame of the template, carried to the scan; `start` (centre and size) where that fails.

    Args:
        scan: a volume; its first channel is registered.
        region: its brain.
        spacing: mm per voxel.
        start: the frame by centre and size, from which the registration starts.
    """
    from unlesion.prepare.align import Frame

    template, origin = brain_template()
    inside = template > 0.05
    low, high = (bound * COARSE_MM + origin for bound in _bounds(inside))
    # Frames have their origin in the middle of the field in-plane, the template's coordinates elsewhere.
    middle = np.eye(4)
    middle[:2, 3] = (low + high)[:2] / 2
    guess = start.to_scan @ np.linalg.inv(middle)
    # The tops of the brains meet: the bottom depends on how much of the stem a scan shows.
    guess[:3, 3] += guess[:3, 2] * (start.top - high[2])
    try:
        matrix = _register(scan, region, spacing, guess)
        problem = _problem(matrix, guess, region, inside, origin, spacing)
    except RuntimeError as error:
        # ITK says at which address; the same scan shall get the same words.
        said = re.sub(r"\s*\(0x[0-9a-f]+\)", "", str(error).strip().splitlines()[-1])
        problem = f"the registration stopped ({said})"
    if problem:
        warning = f"not aligned to the template, {problem}: centred instead"
        return replace(start, warnings=(*start.warnings, warning))
    return Frame(
        to_scan=matrix @ middle,
        extent_mm=(float(high[0] - low[0]), float(high[1] - low[1])),
        bottom=float(low[2]),
        top=float(high[2]),
    )


def _register(
    scan: Scan, region: Region, spacing: Spacing, guess: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(4, 4): template mm (posterior, left, up) to canonical index of the scan."""
    import SimpleITK as sitk

    template, origin = brain_template()
    fixed = _itk(template, (COARSE_MM,) * 3, origin)
    moving, moving_spacing, moving_origin = _coarse(scan, region, spacing)
    moving_image = _itk(moving, moving_spacing, moving_origin)
    to_mm = np.diag([*spacing, 1.0]) @ guess
    first = sitk.AffineTransform(3)
    middle = (np.array(template.shape) - 1) / 2 * COARSE_MM + origin
    first.SetCenter(middle.tolist())
    first.SetMatrix(to_mm[:3, :3].ravel().tolist())
    first.SetTranslation((to_mm[:3, :3] @ middle + to_mm[:3, 3] - middle).tolist())

    around = ndimage.binary_dilation(template > 0.05, iterations=2)
    # The scan may be a T2 or FLAIR, the template is a T1. What is made within the block computes in one thread, too.
    with one_thread():
        registration = mutual_information()
        descend(
            registration, learning_rate=4.0, min_step=0.02, iterations=60, factors=(2, 1), sigmas=(4.0, 0.0)
        )
        # Every voxel is used, so that no random sampling makes two runs differ.
        registration.SetMetricSamplingStrategy(registration.NONE)
        registration.SetMetricFixedMask(_itk(around.astype(np.uint8), (COARSE_MM,) * 3, origin))
        registration.SetInitialTransform(first, inPlace=True)
        registration.Execute(fixed, moving_image)

    linear = np.array(first.GetMatrix()).reshape(3, 3)
    offset = np.array(first.GetTranslation()) + middle - linear @ middle
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = offset
    return np.asarray(np.diag([*(1.0 / np.array(spacing)), 1.0]) @ matrix)


def _coarse(
    scan: Scan, region: Region, spacing: Spacing
) -> tuple[NDArray[np.float32], Spacing, NDArray[np.float64]]:
    """The region's voxels on a coarse grid: block means, spacing, and mm of the first voxel."""
    steps = [max(1, round(COARSE_MM / size)) for size in spacing]
    image = scan.voxels[0] * region.mask
    if region.mask.any():
        top = float(np.percentile(scan.voxels[0][region.mask], 99))
        image = np.clip(image, 0, top) / (top or 1.0)
    cut = foreground.block_mean(image, steps)
    mm = np.array(spacing)
    first = (np.array(steps) - 1) / 2 * mm
    size = mm * steps
    return cut, (float(size[0]), float(size[1]), float(size[2])), first


def _itk(array: NDArray[Any], spacing: Spacing, origin: NDArray[np.float64]) -> Any:
    """A SimpleITK image whose axes are (posterior, left, up), as the arrays' are."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    image.SetSpacing([float(size) for size in spacing])
    image.SetOrigin([float(place) for place in origin])
    return image


def _problem(
    matrix: NDArray[np.float64],
    guess: NDArray[np.float64],
    region: Region,
    inside: NDArray[np.bool_],
    origin: NDArray[np.float64],
    spacing: Spacing,
) -> str:
    """Why a registration cannot be trusted, in words; empty where it can."""
    stretch = np.linalg.svd(np.diag(spacing) @ matrix[:3, :3], compute_uv=False)
    if stretch.min() < 0.6 or stretch.max() > 1.6:
        return f"it would stretch the head by {stretch.min():.2f} to {stretch.max():.2f}"
    before, after = (_overlap(m, region, inside, origin) for m in (guess, matrix))
    if after < before - 0.05:
        return f"the brains overlap less than before (Dice {after:.2f} after {before:.2f})"
    return ""


def _overlap(
    matrix: NDArray[np.float64], region: Region, inside: NDArray[np.bool_], origin: NDArray[np.float64]
) -> float:
    """Dice overlap of the template's brain and the region under a map."""
    index = np.argwhere(np.ones_like(inside)).T * COARSE_MM + origin[:, None]
    where = matrix[:3, :3] @ index + matrix[:3, 3:]
    found = ndimage.map_coordinates(region.mask, where, order=0, mode="constant", cval=0, output=bool)
    both = float((found & inside.ravel()).sum())
    return 2 * both / max(float(found.sum() + inside.sum()), 1.0)


def _bounds(mask: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    where = np.argwhere(mask)
    return where.min(axis=0).astype(np.float64), where.max(axis=0).astype(np.float64)
