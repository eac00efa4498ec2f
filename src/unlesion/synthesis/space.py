"""Space: a box of voxels in millimetres, on which synthetic fields are drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Space:
    """A regular, axis-aligned box of voxels.

    Fields are drawn in millimetres on the *box*, not on its voxels: the same seed gives the same field at any
    spacing.

    Attributes:
        extent: size of the box along x, y, z in mm.
        spacing: size of a (cubic) voxel in mm.
        corner: world position (RAS+ mm) of the corner of the box, the outer edge of voxel (0, 0, 0).
    """

    extent: tuple[float, float, float]
    spacing: float
    corner: tuple[float, float, float]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along x, y, z."""
        x, y, z = (max(1, round(side / self.spacing)) for side in self.extent)
        return x, y, z

    @property
    def affine(self) -> NDArray[np.float64]:
        """4 x 4 voxel index to world mm."""
        affine = np.diag([self.spacing] * 3 + [1.0])
        affine[:3, 3] = np.asarray(self.corner) + self.spacing / 2
        return affine

    def axes(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """World coordinates of the voxel centres along each axis, shaped so that they broadcast."""
        lines = [
            np.float32(corner)
            + (np.arange(count, dtype=np.float32) + np.float32(0.5)) * np.float32(self.spacing)
            for corner, count in zip(self.corner, self.shape, strict=True)
        ]
        return lines[0][:, None, None], lines[1][None, :, None], lines[2][None, None, :]

    def at(self, spacing: float) -> Space:
        """The same box at another voxel size (mm)."""
        return Space(extent=self.extent, spacing=spacing, corner=self.corner)

    def window(
        self, centre: NDArray[np.float64], radius_mm: float
    ) -> tuple[tuple[slice, slice, slice], Space]:
        """The part of the box within `radius_mm` of `centre` along each axis: its slices, and it as a space.

        Its walls lie on multiples of 8 mm from the corner, so that voxel sizes that divide 8 share a window.
        """
        step = 8.0
        slices, corner, extent = [], [], []
        for side, low, middle in zip(self.extent, self.corner, centre, strict=True):
            first = float(np.clip(np.floor((middle - radius_mm - low) / step) * step, 0, side - step))
            last = float(np.clip(np.ceil((middle + radius_mm - low) / step) * step, first + step, side))
            slices.append(slice(round(first / self.spacing), round(last / self.spacing)))
            corner.append(low + first)
            extent.append(last - first)
        part = Space(extent=tuple(extent), spacing=self.spacing, corner=tuple(corner))  # type: ignore[arg-type]
        return tuple(slices), part  # type: ignore[return-value]
