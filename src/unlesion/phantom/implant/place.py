"""Where in the head a scan's voxels lie: coordinates of the MNI152 template, for volumes and for slices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unlesion.phantom.implant.box import Box, Sizes
from unlesion.phantom.implant.tissue import Tissue
from unlesion.phantom.template import Template, load_template
from unlesion.prepare.align import AlignStep
from unlesion.prepare.roi import Region
from unlesion.prepare.template import COARSE_MM, brain_template
from unlesion.scans import Scan

Array = NDArray[np.float32]
Matrix = NDArray[np.float64]

# Slices are compared with the template's at these heights (mm), on so many pixels a side.
HEIGHTS = np.arange(-44.0, 74.0, 2.0)
# ... and tilts (degrees, front up or down), turning about this y.
TILTS = (-6.0, 0.0, 6.0)
_PIVOT = -18.0
_SIDE = 40


@dataclass(frozen=True, kw_only=True, eq=False)
class Place:
    """Template coordinates of a scan.

    Attributes:
        to_template: 4 x 4, mm from the outer corner of the scan's first voxel (x, y, z) to template mm.
        alike: how like the template's the slice is, -1 to 1; 1 for volumes.
        turned: the slice lies with the front of the head at its lower edge; `to_template` holds once it is turned.
        warnings: doubts, in words.
    """

    to_template: Matrix
    alike: float = 1.0
    turned: bool = False
    warnings: tuple[str, ...] = ()

    def corner(self, box: Box) -> Sizes:
        """World position of the box's corner: mm of the scan, the template's origin at 0."""
        origin = np.linalg.inv(self.to_template)[:3, 3]
        x, y, z = (float(start - zero) for start, zero in zip(box.start, origin, strict=True))
        return x, y, z

    def of(self, box: Box) -> Array:
        """Template mm (3, ...) of the voxels of the box's output space."""
        counts = box.space.shape
        lines = [
            start + (np.arange(count) + 0.5) * box.space.spacing
            for start, count in zip(box.start, counts, strict=True)
        ]
        if box.flat:
            lines[2] = np.zeros(counts[2])
        grid = np.meshgrid(*lines, indexing="ij", sparse=True)
        rows = self.to_template[:3]
        parts = [row[0] * grid[0] + row[1] * grid[1] + row[2] * grid[2] + row[3] for row in rows]
        return np.stack(np.broadcast_arrays(*parts)).astype(np.float32)


def place_volume(scan: Scan, region: Region) -> Place:
    """By an affine registration to the template; by centre and size where that fails."""
    frame = AlignStep(how="template").frame(scan, region, scan.grid.spacing)
    template, origin = brain_template()
    found = np.argwhere(template > 0.05)
    low, high = (bound * COARSE_MM + origin for bound in (found.min(axis=0), found.max(axis=0)))
    from_frame = np.eye(4)
    from_frame[:2, 3] = (low + high)[:2] / 2
    if frame.warnings:
        from_frame[2, 3] = high[2] - frame.top
    # Frame: posterior, left, up from the template's origin, to the index of the canonical array.
    to_frame = from_frame @ np.linalg.inv(frame.to_scan)
    rows, columns, _ = scan.grid.shape
    mm = scan.grid.spacing
    # mm from the corner, to right, anterior and up, to the canonical index.
    index = np.array(
        [
            [0, -1 / mm[0], 0, rows - 0.5],
            [-1 / mm[1], 0, 0, columns - 0.5],
            [0, 0, 1 / mm[2], -0.5],
            [0, 0, 0, 1],
        ]
    )
    to_ras = np.array([[0, -1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    return Place(to_template=to_ras @ to_frame @ index, warnings=frame.warnings)


def place_slice(tissue: Tissue, brain: NDArray[np.bool_], sizes: Sizes) -> Place:
    """By the height and tilt at which the template's tissue looks most like the slice's, both cut to their brains.

    Pictures with the front of the head below are found out: likeness decides.
    """
    parts = np.stack([part[:, :, 0] for part in (tissue.white, tissue.grey, tissue.fluid)])
    known, looks = _template_looks()
    scores = []
    for turned in (False, True):
        step = -1 if turned else 1
        low, high = _ends(brain[:, ::step, 0])
        scores.append(looks @ _unit(_cut(parts[:, :, ::step], low, high)) / len(parts))
    turned = bool(scores[1].max() > scores[0].max())
    best = int(scores[turned].argmax())
    look = known[best]
    low, high = _ends(brain[:, :: -1 if turned else 1, 0])
    # Linear along each axis from brain to brain; rows of `low`, `high` are pixel edges.
    matrix = np.zeros((4, 4))
    for axis in range(2):
        scale = (look.high[axis] - look.low[axis]) / ((high[axis] - low[axis]) * sizes[axis])
        matrix[axis, axis] = scale
        matrix[axis, 3] = look.low[axis] - scale * low[axis] * sizes[axis]
    slope = np.tan(np.deg2rad(look.tilt))
    matrix[2] = slope * matrix[1]
    matrix[2, 2], matrix[2, 3], matrix[3, 3] = 1.0, matrix[2, 3] + look.height - slope * _PIVOT, 1.0
    return Place(to_template=matrix, alike=float(scores[turned][best]), turned=turned)


@dataclass(frozen=True, eq=False)
class _Look:
    """A cut through the template: its height (mm) at the pivot, its tilt, and the ends (mm) of the brain in it."""

    height: float
    tilt: float
    low: Matrix
    high: Matrix


@lru_cache(maxsize=1)
def _template_looks() -> tuple[list[_Look], Array]:
    """Cuts through the template, and what they look like as rows of unit vectors."""
    template = load_template()
    x0, y0, z0 = template.origin
    counts = template.white.shape
    x, y = np.meshgrid(np.arange(0, counts[0], 2), np.arange(0, counts[1], 2), indexing="ij")
    looks, rows = [], []
    for tilt in TILTS:
        slope = np.tan(np.deg2rad(tilt))
        for height in HEIGHTS:
            at = np.stack([x, y, height + slope * (y + y0 - _PIVOT) - z0])
            parts = np.stack(
                [
                    ndimage.map_coordinates(part, at, order=1)
                    for part in (template.white, template.grey, template.fluid)
                ]
            )
            brain = parts.sum(axis=0) > 0.5
            if brain.sum() < 300:
                continue
            low, high = _ends(brain)
            start = np.array([x0, y0]) - 0.5
            looks.append(_Look(float(height), tilt, start + 2 * low, start + 2 * high))
            rows.append(_unit(_cut(parts, low, high)))
    return looks, np.stack(rows)


def _unit(parts: Array) -> Array:
    """Tissues (3, ...) as one vector whose product with another is the sum of their correlations."""
    flat = parts.reshape(len(parts), -1) - parts.reshape(len(parts), -1).mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(length, 1e-9), dtype=np.float32).ravel()


def _ends(mask: NDArray[np.bool_]) -> tuple[Matrix, Matrix]:
    """First and last edge (in pixels) of a mask along both axes, without thin outliers."""
    low, high = [], []
    for axis in range(2):
        filled = np.cumsum(mask.sum(axis=1 - axis))
        low.append(float(np.searchsorted(filled, 0.003 * filled[-1])))
        high.append(float(np.searchsorted(filled, 0.997 * filled[-1])) + 1)
    return np.array(low), np.array(high)


def _cut(parts: Array, low: Matrix, high: Matrix) -> Array:
    """Tissues (3, ...) between the ends, on a fixed number of pixels."""
    step = (high - low) / _SIDE
    x, y = (low[axis] + (np.arange(_SIDE) + 0.5) * step[axis] - 0.5 for axis in range(2))
    at = np.stack(np.meshgrid(x, y, indexing="ij"))
    blurred = [ndimage.gaussian_filter(part, step * 0.8) for part in parts]
    return np.stack([ndimage.map_coordinates(part, at, order=1) for part in blurred])


def ventricles(place: Array, fluid: Array, depth: Array, spacing: float, *, flat: bool) -> NDArray[np.bool_]:
    """The lateral ventricles: parts of deep fluid that lie where the template's do.

    Args:
        place: (3, ...) template mm.
        fluid: (...) fraction.
        depth: (...) mm below the surface.
        spacing: mm per voxel.
        flat: a slab, alike at all heights.
    """
    template: Template = load_template()
    prior = ndimage.map_coordinates(template.ventricles, template.voxels(place), order=1) > 0.3
    if flat:
        # A slice's height is known to a few millimetres only.
        for shift in (-6.0, 6.0):
            moved = np.stack([place[0], place[1], place[2] + np.float32(shift)])
            prior |= ndimage.map_coordinates(template.ventricles, template.voxels(moved), order=1) > 0.3
    if not prior.any():
        return prior
    reach = ndimage.distance_transform_edt(~prior, sampling=spacing)
    labels, count = ndimage.label((fluid > 0.5) & (reach < 9.0) & (depth > 12.0))
    if count == 0:
        return np.zeros(prior.shape, bool)
    numbers = np.arange(1, count + 1)
    touching = ndimage.minimum(reach, labels, numbers) < 2.0
    sizes = ndimage.sum_labels(np.ones(labels.shape), labels, numbers) * spacing**3
    return np.isin(labels, numbers[touching & (sizes > 100.0)])
