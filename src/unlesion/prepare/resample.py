"""Taking values between the scan's grid and the prepared one: one linear interpolation each way.

Both ways interpolate values *inside* a region only: the weights of pixels outside it are left out and the
rest is renormalised. So neither background nor scalp bleeds into the edge of the brain on the way in, and
a map does not fade at the edge on the way out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unlesion.prepare.placement import Placement

# A prepared pixel (or, on the way back, a voxel) belongs to the region if at least half of what it is
# interpolated from does.
INSIDE = 0.5


def to_prepared(
    voxels: NDArray[np.float32], region: NDArray[np.bool_], placement: Placement
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Resample a scan onto the prepared grid, anti-aliased.

    Args:
        voxels: (C, rows, columns, slices) on the scan's canonical grid.
        region: (rows, columns, slices) bool; only voxels inside are used.
        placement: where the prepared pixels lie.

    Returns:
        (C, H, W, S) float32, 0 outside the region, and the region (H, W, S) bool.
    """
    if placement.is_identity:
        return np.where(region, voxels, np.float32(0)).astype(np.float32), region.copy()
    box = _bounding_box(region, margin=2)
    inside = region[box].astype(np.float32)
    corner = np.array([part.start for part in box], dtype=np.float64)
    where = _coordinates(placement.matrix, placement.shape) - corner[:, None]
    reached = _within(where + corner[:, None], placement.scan_shape)
    widths = _blur_widths(placement)

    def sample(values: NDArray[np.float32]) -> NDArray[np.float32]:
        if any(width > 0 for width in widths):
            values = ndimage.gaussian_filter(values, widths, mode="nearest", truncate=3.0)
        taken = ndimage.map_coordinates(values, where, order=1, mode="nearest", output=np.float32)
        return np.asarray(taken)

    weight = sample(inside)
    kept = reached & (weight >= INSIDE)
    images = np.zeros((voxels.shape[0], kept.size), dtype=np.float32)
    for channel, image in enumerate(voxels):
        taken = sample(image[box] * inside)
        images[channel, kept] = taken[kept] / weight[kept]
    return images.reshape(-1, *placement.shape), kept.reshape(placement.shape)


class WayBack:
    """The way from the prepared grid back to the scan's, worked out once for all maps of a scan.

    Attributes:
        region: (rows, columns, slices) bool, the prepared region on the scan's canonical grid.
    """

    def __init__(self, placement: Placement, roi: NDArray[np.bool_]) -> None:
        """Prepare to restore; `roi` is (H, W, S) on the prepared grid."""
        self._placement = placement
        self._roi = roi
        if placement.is_identity:
            self.region = roi.copy()
            return
        box = self._reach()
        shape = (box[0].stop - box[0].start, box[1].stop - box[1].start, box[2].stop - box[2].start)
        shift = np.eye(4)
        shift[:3, 3] = [part.start for part in box]
        where = _coordinates(placement.inverse @ shift, shape)
        weight = ndimage.map_coordinates(
            roi.astype(np.float32), where, order=1, mode="nearest", output=np.float32
        )
        kept = _within(where, placement.shape) & (weight >= INSIDE)
        self.region = np.zeros(placement.scan_shape, dtype=bool)
        self.region[box] = kept.reshape(shape)
        self._where = where[:, kept]
        self._weight = weight[kept]

    def restore(self, values: NDArray[np.float32], *, order: int, fill: float) -> NDArray[np.float32]:
        """(H, W, S) prepared values to (rows, columns, slices) on the scan's grid; `fill` outside."""
        out = np.full(self._placement.scan_shape, fill, dtype=np.float32)
        if self._placement.is_identity:
            out[self.region] = values[self._roi]
            return out
        inside = np.where(self._roi, values, np.float32(0)).astype(np.float32)
        if order == 0:
            # The nearest pixel may lie just outside the region; take the nearest one inside instead.
            inside = _spread(values, self._roi)
        taken = ndimage.map_coordinates(inside, self._where, order=order, mode="nearest", output=np.float32)
        out[self.region] = taken if order == 0 else taken / self._weight
        return out

    def _reach(self) -> tuple[slice, slice, slice]:
        """The part of the scan's grid that the prepared region can reach."""
        occupied = np.argwhere(self._roi)
        if len(occupied) == 0:
            return slice(0, 1), slice(0, 1), slice(0, 1)
        low, high = occupied.min(axis=0) - 1.0, occupied.max(axis=0) + 1.0
        corners = np.array(np.meshgrid(*zip(low, high, strict=True))).reshape(3, -1)
        moved = self._placement.matrix[:3, :3] @ corners + self._placement.matrix[:3, 3:]
        start = np.floor(moved.min(axis=1)).astype(int)
        stop = np.ceil(moved.max(axis=1)).astype(int) + 1
        parts = []
        for begin, end, size in zip(start, stop, self._placement.scan_shape, strict=True):
            begin = int(np.clip(begin, 0, size - 1))
            parts.append(slice(begin, int(np.clip(end, begin + 1, size))))
        return parts[0], parts[1], parts[2]


def _coordinates(matrix: NDArray[np.float64], shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """(3, n): where `matrix` puts every index of an array of `shape`."""
    axes = [np.arange(size, dtype=np.float64) for size in shape]
    out = np.empty((3, *shape), dtype=np.float64)
    for axis in range(3):
        rows, columns, slices = (matrix[axis, other] * axes[other] for other in range(3))
        out[axis] = rows[:, None, None] + columns[None, :, None] + (slices + matrix[axis, 3])[None, None, :]
    return out.reshape(3, -1)


def _within(where: NDArray[np.float64], shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    """True where a point lies on a pixel of an array of `shape`, edges of the pixels included."""
    inside = np.ones(where.shape[1], dtype=bool)
    for axis, size in enumerate(shape):
        inside &= (where[axis] >= -0.501) & (where[axis] <= size - 0.499)
    return inside


def _blur_widths(placement: Placement) -> tuple[float, float, float]:
    """SD in voxels of the gaussian that turns a scan's resolution into that of the prepared pixels.

    A pixel's resolution is taken as a gaussian of its own width (FWHM); widths add in quadrature.
    """
    rows, columns, slices = (
        float(np.sqrt(max(factor**2 - 1.0, 0.0)) / 2.355) for factor in placement.shrinkage
    )
    return rows, columns, slices


def _bounding_box(region: NDArray[np.bool_], *, margin: int) -> tuple[slice, slice, slice]:
    parts = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        occupied = np.flatnonzero(region.any(axis=others))
        low, high = (occupied[0], occupied[-1]) if len(occupied) else (0, 0)
        parts.append(slice(max(int(low) - margin, 0), min(int(high) + margin + 1, region.shape[axis])))
    return parts[0], parts[1], parts[2]


def _spread(values: NDArray[np.float32], region: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Fill what lies outside the region with the value of the nearest pixel inside."""
    if not region.any():
        return np.zeros_like(values)
    nearest = ndimage.distance_transform_edt(~region, return_distances=False, return_indices=True)
    return np.asarray(values[tuple(nearest)], dtype=np.float32)
