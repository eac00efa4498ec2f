"""Box: the part of a scan that holds the brain, on cubic voxels along right, anterior, superior."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from unlesion.phantom.anatomy import OVERSAMPLING
from unlesion.synthesis import Space

Array = NDArray[np.float32]
Sizes = tuple[float, float, float]
Slices = tuple[slice, slice, slice]

# Lesions grow on cubic voxels of this size (mm): that of most volumes; slices can afford finer ones.
FINE_MM = {"volume": 1.0, "slice": 0.5}
# Boxes are whole multiples of this, as windows of a `Space` are.
STEP_MM = 8.0
MARGIN_MM = 6.0


def to_xyz(canonical: NDArray[np.generic]) -> NDArray[np.generic]:
    """Rows to posterior, columns to left, slices up: turned into axes to right, anterior, superior."""
    return canonical.transpose(1, 0, 2)[::-1, ::-1]


def from_xyz(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """The inverse of `to_xyz`."""
    return np.ascontiguousarray(array[::-1, ::-1].transpose(1, 0, 2))


@dataclass(frozen=True, kw_only=True, eq=False)
class Box:
    """Where the brain of a scan lies, and the way between the scan's voxels and cubic ones.

    A flat scan becomes a slab, alike at all its heights.

    Attributes:
        shape: voxels of the scan along x, y, z (right, anterior, superior).
        sizes: mm of these voxels; of a flat scan, z is the slab's.
        start: mm from the outer corner of the scan's first voxel to the corner of the box.
        space: the output space of an `Anatomy`; the box in the world.
        flat: a slab of one slice.
    """

    shape: tuple[int, int, int]
    sizes: Sizes
    start: Sizes
    space: Space
    flat: bool

    @classmethod
    def around(cls, brain: NDArray[np.bool_], sizes: Sizes) -> Box:
        """The box around a brain mask (x, y, z), its corner at the world's origin for the time being."""
        flat = brain.shape[2] == 1
        start, extent = [], []
        for axis in range(3):
            if flat and axis == 2:
                start.append(0.0)
                extent.append(STEP_MM)
                continue
            line = np.flatnonzero(brain.any(axis=tuple({0, 1, 2} - {axis})))
            pad = int(np.ceil(MARGIN_MM / sizes[axis]))
            first, last = line[0] - pad, line[-1] + 1 + pad
            start.append(float(first * sizes[axis]))
            extent.append(float(np.ceil((last - first) * sizes[axis] / STEP_MM) * STEP_MM))
        if flat:
            sizes = (sizes[0], sizes[1], STEP_MM)
        fine = FINE_MM["slice" if flat else "volume"]
        space = Space(extent=tuple(extent), spacing=fine * OVERSAMPLING, corner=(0.0, 0.0, 0.0))  # type: ignore[arg-type]
        return cls(shape=brain.shape, sizes=sizes, start=tuple(start), space=space, flat=flat)  # type: ignore[arg-type]

    def placed(self, corner: Sizes) -> Box:
        """The same box with its corner at a world position (mm)."""
        space = Space(extent=self.space.extent, spacing=self.space.spacing, corner=corner)
        return Box(shape=self.shape, sizes=self.sizes, start=self.start, space=space, flat=self.flat)

    @property
    def fine(self) -> Space:
        """The space that lesions grow on."""
        return self.space.at(self.space.spacing / OVERSAMPLING)

    def inward(self, scan: NDArray[np.generic]) -> Array:
        """An array on the scan's voxels, on the fine space; 0 beyond the scan."""
        return _apply(self._inward, scan)

    def outward(
        self, part: NDArray[np.generic], window: Slices, *, planes: slice | None = None
    ) -> tuple[Slices, Array]:
        """A window of the fine space on the scan's voxels: which of them, and their values.

        Outside of these voxels it is 0. A slab gives the mean over `planes` of it, or over all.
        """
        lines = list(self._outward)
        if self.flat:
            wanted = planes if planes is not None else slice(0, self.fine.shape[2])
            first, last = max(wanted.start, window[2].start), min(wanted.stop, window[2].stop)
            part = part[:, :, first - window[2].start : max(last, first) - window[2].start]
            part = part.sum(axis=2, keepdims=True) / np.float32(wanted.stop - wanted.start)
            lines[2], window = np.ones((1, 1), np.float32), (window[0], window[1], slice(0, 1))
        there, cut = [], []
        for line, piece in zip(lines, window, strict=True):
            own = line[:, piece]
            rows = np.flatnonzero(own.any(axis=1))
            first, last = (int(rows[0]), int(rows[-1]) + 1) if rows.size else (0, 0)
            there.append(slice(first, last))
            cut.append(own[first:last])
        return (there[0], there[1], there[2]), _apply(cut, part)

    @cached_property
    def _inward(self) -> list[Array]:
        step = self.fine.spacing
        return [
            weights(self.shape[a], 0.0, self.sizes[a], self.fine.shape[a], self.start[a], step)
            for a in range(3)
        ]

    @cached_property
    def _outward(self) -> list[Array]:
        step = self.fine.spacing
        return [
            weights(self.fine.shape[a], self.start[a], step, self.shape[a], 0.0, self.sizes[a])
            for a in range(3)
        ]


def weights(count: int, start: float, step: float, wanted: int, first: float, size: float) -> Array:
    """(wanted, count) weights that take values from one row of cells to another.

    Larger cells get the mean over their length, smaller ones a linear interpolation; beyond the row it is 0.

    Args:
        count: cells that there are, the first from `start` (mm) on, each `step` long.
        start: see there.
        step: see there.
        wanted: cells asked for, the first from `first` on, each `size` long.
        first: see there.
        size: see there.
    """
    ratio = size / step
    parts = 1 if ratio < 1.01 else 2 * int(np.ceil(ratio))
    at = first + (np.arange(wanted * parts) + 0.5) * (size / parts)
    index = (at - start) / step - 0.5
    inside = (index > -0.5 - 1e-6) & (index < count - 0.5 + 1e-6)
    index = np.clip(index, 0, count - 1)
    low = np.minimum(index.astype(int), max(count - 2, 0))
    share = index - low
    out = np.zeros((wanted * parts, count), np.float32)
    rows = np.arange(wanted * parts)
    out[rows, low] += (1 - share) * inside
    out[rows, np.minimum(low + 1, count - 1)] += share * inside
    return out.reshape(wanted, parts, count).mean(axis=1)


def _apply(lines: list[Array], array: NDArray[np.generic]) -> Array:
    out = array.astype(np.float32)
    for axis, line in enumerate(lines):
        shift = _shift(line)
        if shift is None:
            out = np.moveaxis(np.tensordot(line, out, axes=(1, axis)), 0, axis)
            continue
        # Voxels that coincide are copied: cheaper, and exact.
        first, start, count = shift
        shape = list(out.shape)
        shape[axis] = len(line)
        moved = np.zeros(shape, np.float32)
        target, source = [slice(None)] * 3, [slice(None)] * 3
        target[axis], source[axis] = slice(first, first + count), slice(start, start + count)
        moved[tuple(target)] = out[tuple(source)]
        out = moved
    return np.ascontiguousarray(out, dtype=np.float32)


def _shift(line: Array) -> tuple[int, int, int] | None:
    """First row, first column and number of rows, where the weights only move cells along."""
    rows, columns = np.nonzero(line)
    if rows.size == 0:
        return 0, 0, 0
    one_each = (
        (line[rows, columns] == 1).all() and (np.diff(rows) == 1).all() and (np.diff(columns) == 1).all()
    )
    return (int(rows[0]), int(columns[0]), rows.size) if one_each else None
