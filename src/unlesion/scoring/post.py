"""Post-processing in millimetres, common to all methods."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlesion.scoring.config import PostConfig
from unlesion.scoring.evidence import Floats, Mask

# Where neither a scan nor a recipe says how large its pixels are, its longer side is taken to be this long.
ASSUMED_WIDTH_MM = 240.0


def window_pixels(millimetres: float, pixel_mm: float) -> int:
    """The odd number of pixels nearest to a width; 1 (no filter) for less than two pixels."""
    if pixel_mm <= 0:
        return 1
    return 2 * max(0, round((millimetres / pixel_mm - 1) / 2)) + 1


def median_filtered(
    maps: Floats, roi: Mask, *, spacing: tuple[float, float], slice_mm: float, config: PostConfig
) -> Floats:
    """Median filter of (S, H, W) maps: 3-D if there are several slices `slice_mm` apart, else 2-D."""
    from scipy.ndimage import median_filter

    volume = maps.shape[0] > 1 and slice_mm > 0
    median_mm = config.median_volume_mm if volume else config.median_mm
    size = (
        window_pixels(median_mm, slice_mm) if volume else 1,
        window_pixels(median_mm, spacing[0]),
        window_pixels(median_mm, spacing[1]),
    )
    if size == (1, 1, 1) or not roi.any():
        return maps
    # Only the region's own box is filtered, with a margin that keeps every result inside it the same.
    box = []
    for axis in range(3):
        there = np.flatnonzero(roi.any(axis=tuple(other for other in range(3) if other != axis)))
        box.append(slice(max(0, there[0] - size[axis] // 2), there[-1] + size[axis] // 2 + 1))
    out = np.zeros_like(maps)
    part = tuple(box)
    out[part] = median_filter(maps[part], size=size, mode="nearest")
    return out


def eroded(roi: Mask, *, spacing: tuple[float, float], erode_mm: float) -> Mask:
    """The part of (S, H, W) further than `erode_mm` from the region's border, slice by slice.

    The border of the picture is no border of the anatomy and takes nothing away.
    """
    from scipy.ndimage import distance_transform_edt

    if erode_mm <= 0:
        return roi
    out = np.zeros_like(roi)
    for index, inside in enumerate(roi):
        if inside.all():
            out[index] = True
        elif inside.any():
            out[index] = distance_transform_edt(inside, sampling=spacing) > erode_mm
    return out


def post_process(
    maps: Floats, roi: Mask, *, spacing: tuple[float, float], slice_mm: float, config: PostConfig
) -> Floats:
    """Median filter, then the map inside the eroded roi; (S, H, W)."""
    out = median_filtered(maps, roi, spacing=spacing, slice_mm=slice_mm, config=config)
    kept = eroded(roi, spacing=spacing, erode_mm=config.erode_mm)
    return np.where(kept, out, np.float32(0)).astype(np.float32, copy=False)


def label_components(lesions: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """Number the connected components of a mask, touching corners included (26 or, flat, 8 neighbours)."""
    from scipy.ndimage import label

    labels: NDArray[Any] = np.empty(lesions.shape, dtype=np.int32)
    count = label(lesions, structure=np.ones((3,) * lesions.ndim, dtype=bool), output=labels)
    return labels, int(count)


def remove_small(
    lesions: NDArray[np.bool_],
    *,
    spacing: tuple[float, float, float] | None,
    config: PostConfig,
    assumed_width_mm: float = ASSUMED_WIDTH_MM,
) -> tuple[NDArray[np.bool_], int]:
    """Drop connected components that are too small, on the scan's own grid.

    Args:
        lesions: (rows, columns, slices).
        spacing: mm along rows, columns, slices; None unknown: then the picture counts as
            `assumed_width_mm` along its longer side and its pixels (voxels) as isotropic.
        config: the smallest volume (ml), or area (mm²) where there is a single slice.
        assumed_width_mm: the recipe's for the scan's modality, where there is a recipe.

    Returns:
        What is left, and the number of its components.
    """
    rows, columns, slices = spacing or (assumed_width_mm / max(lesions.shape[:2]),) * 3
    labels, count = label_components(lesions)
    if count == 0:
        return lesions, 0
    if lesions.shape[2] == 1:
        size, smallest = rows * columns, config.min_component_mm2
    else:
        size, smallest = rows * columns * slices / 1000.0, config.min_component_ml
    # A component of exactly the smallest size stays, whatever the rounding of the spacing.
    keep = np.bincount(labels.ravel(), minlength=count + 1) * size >= smallest * (1 - 1e-6)
    keep[0] = False
    return keep[labels], int(keep.sum())
