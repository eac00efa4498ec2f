"""Finishing the prepared region: empty end slices go, and its edge where a recipe says so."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unlesion.prepare.placement import Placement

# Slices at either end with less than this part of the fullest one hold slivers, not anatomy.
SLIVER = 0.02


def trim(
    images: NDArray[np.float32],
    inside: NDArray[np.bool_],
    positions: NDArray[np.float64],
    placement: Placement,
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float64], Placement]:
    """Drop nearly empty slices at both ends of (S, C, H, W), (S, H, W), (S,) and in the placement."""
    filled = inside.sum(axis=(1, 2))
    kept = np.flatnonzero(filled > SLIVER * filled.max())
    if len(kept) == 0:
        return images, inside, positions, placement
    low, high = int(kept[0]), int(kept[-1]) + 1
    matrix = placement.matrix.copy()
    matrix[:3, 3] += low * matrix[:3, 2]
    moved = Placement(
        matrix=matrix,
        shape=(placement.shape[0], placement.shape[1], high - low),
        scan_shape=placement.scan_shape,
    )
    return images[low:high], inside[low:high], positions[low:high], moved


def erode(
    inside: NDArray[np.bool_], depth_mm: float, spacing: tuple[float, float, float]
) -> NDArray[np.bool_]:
    """Take `depth_mm` off the edge of a region (S, H, W); spacing 0 along slices erodes each by itself.

    The edge of the field is no edge of the region: what goes on beyond it is not eroded there.
    """
    if depth_mm <= 0 or not inside.any():
        return inside
    if spacing[0] > 0:
        depth = ndimage.distance_transform_edt(inside, sampling=spacing)
    else:
        depth = np.stack([ndimage.distance_transform_edt(plane, sampling=spacing[1:]) for plane in inside])
    eroded = np.asarray(depth > depth_mm)
    return eroded if eroded.any() else inside
