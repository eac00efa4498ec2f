"""Prepared: a scan as methods see it, with the way back to its own grid and intensities."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from unlesion.prepare.normalise import Intensity
from unlesion.prepare.placement import Placement
from unlesion.prepare.resample import WayBack
from unlesion.scans.scan import Scan


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """A scan after a recipe: S axial slices of H x W pixels in C channels.

    Attributes:
        images: (S, C, H, W) float32; 0 to 1 for most tissue, at most 1.5, 0 outside `roi`.
        roi: (S, H, W) bool, the part that is learnt and scored.
        positions: (S,) float32, relative height of each slice, 0 lowest to 1 highest; 0.5 unknown.
        spacing: mm per prepared pixel along rows and columns, in the scan's own millimetres.
        slice_mm: mm from slice to slice; 0 for a flat scan.
        placement: prepared index (row, column, slice) to the scan's canonical index.
        intensity: the scan's intensities to prepared ones, and back.
        field: (C, rows, columns, slices) float32, the bias field that was divided out before; None where none was.
        scan: the scan itself; None if it was prepared earlier and only its geometry was kept.
        key, subject, scan_id, modality: as in `Scan`.
        warnings: what reading and preparing noticed.
    """

    images: NDArray[np.float32]
    roi: NDArray[np.bool_]
    positions: NDArray[np.float32]
    spacing: tuple[float, float]
    slice_mm: float
    placement: Placement
    intensity: Intensity
    scan: Scan | None
    key: str
    subject: str = ""
    scan_id: str = ""
    modality: tuple[str, ...] = ("",)
    warnings: tuple[str, ...] = ()
    field: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return int(self.images.shape[0])

    @cached_property
    def _way_back(self) -> WayBack:
        return WayBack(self.placement, np.ascontiguousarray(self.roi.transpose(1, 2, 0)))

    @property
    def restored_roi(self) -> NDArray[np.bool_]:
        """(rows, columns, slices) bool: `roi` on the scan's canonical grid, where maps have values."""
        return self._way_back.region

    def restore(
        self, maps: NDArray[np.floating], *, order: int = 1, fill: float = 0.0
    ) -> NDArray[np.float32]:
        """Bring a map on the prepared pixels back to the scan's canonical grid.

        Args:
            maps: (S, H, W).
            order: 1 linear, 0 nearest pixel (for labels).
            fill: value outside the prepared region.

        Returns:
            (rows, columns, slices) float32.
        """
        if maps.shape != self.roi.shape:
            raise ValueError(f"expected maps of shape {self.roi.shape} (S, H, W), got {maps.shape}")
        stack = np.ascontiguousarray(np.asarray(maps, dtype=np.float32).transpose(1, 2, 0))
        return self._way_back.restore(stack, order=order, fill=fill)

    def restore_healthy(self, healthy: NDArray[np.floating]) -> NDArray[np.float32]:
        """Bring a pseudo-healthy image back to the scan's own grid and intensity units.

        Outside the prepared region the scan's own voxels are kept: nothing was learnt there.

        Args:
            healthy: (S, C, H, W), in prepared intensities.

        Returns:
            (C, rows, columns, slices) float32.
        """
        if healthy.shape != self.images.shape:
            raise ValueError(
                f"expected images of shape {self.images.shape} (S, C, H, W), got {healthy.shape}"
            )
        if self.scan is None:
            raise ValueError("restore_healthy needs the scan, and only its geometry was kept")
        out = self.scan.voxels.copy()
        undone = self.intensity.undo(np.asarray(healthy, dtype=np.float32))
        for channel in range(out.shape[0]):
            drawn = self.restore(undone[:, channel])
            if self.field is not None:
                drawn = drawn * self.field[channel]
            out[channel] = np.where(self.restored_roi, drawn, out[channel])
        return out
