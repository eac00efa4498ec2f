"""Placement: where each prepared pixel lies in the scan, as one affine map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Shape3 = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Placement:
    """Alignment, crop and resampling in one: prepared index (row, column, slice) to scan index.

    Attributes:
        matrix: (4, 4) float64; prepared index (row, column, slice, 1) to canonical scan index. Integer
            indices are the centres of pixels.
        shape: (rows, columns, slices) of the prepared stack.
        scan_shape: (rows, columns, slices) of the scan's canonical grid.
    """

    matrix: NDArray[np.float64]
    shape: Shape3
    scan_shape: Shape3

    @classmethod
    def identity(cls, shape: Shape3) -> Placement:
        """The placement of a scan that lies on the prepared grid already."""
        return cls(matrix=np.eye(4), shape=shape, scan_shape=shape)

    @property
    def is_identity(self) -> bool:
        """True where prepared pixels are the scan's own, so that nothing needs interpolation."""
        return self.shape == self.scan_shape and bool(np.array_equal(self.matrix, np.eye(4)))

    @property
    def inverse(self) -> NDArray[np.float64]:
        """(4, 4): canonical scan index to prepared index."""
        return np.asarray(np.linalg.inv(self.matrix), dtype=np.float64)

    @property
    def shrinkage(self) -> tuple[float, float, float]:
        """Scan voxels per prepared pixel along the scan's rows, columns, slices (1 where not shrunk)."""
        rows, columns, slices = np.linalg.norm(self.matrix[:3, :3], axis=1)
        if self.scan_shape[2] == 1:
            slices = 1.0
        return float(rows), float(columns), float(slices)

    def pixel_mm(self, spacing: tuple[float, float, float]) -> tuple[float, float, float]:
        """Size of a prepared pixel in the scan's own millimetres, for a scan of this voxel spacing."""
        size = np.linalg.norm(self.matrix[:3, :3] * np.asarray(spacing)[:, None], axis=0)
        return float(size[0]), float(size[1]), float(size[2])
