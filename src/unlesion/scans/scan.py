"""Scan: one grid, one or more channels, with everything known about it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from unlesion.scans.grid import Grid


@dataclass(frozen=True, kw_only=True, eq=False)
class Scan:
    """An image on one grid in canonical axes (see `Grid`), with what is known about it.

    Attributes:
        voxels: (channels, rows, columns, slices) float32, the file's own intensity units; finite.
        grid: geometry, and the way back to the file.
        key: name of the scan inside its cohort, such as "a/b/x"; results go to OUT/key/.
        subject: who it is from; slices of a subject share it.
        scan_id: which examination; slices of one volume share it.
        modality: one name per channel ("T1", "FLAIR", "CXR"), "" where unknown.
        position: relative height of a flat scan in its volume, 0 lowest to 1 highest; None unknown.
        roi: (rows, columns, slices) bool, region of interest that came with the scan, or None.
        lesions: (rows, columns, slices) bool, the annotated lesions, or None.
        unjudged: (rows, columns, slices) bool, what the annotation calls neither lesion nor healthy, or None.
        twin: like `voxels`: the true healthy counterpart, where known (virtual lesions).
        warnings: what the reader noticed and mended.
    """

    voxels: NDArray[np.float32]
    grid: Grid
    key: str
    subject: str = ""
    scan_id: str = ""
    modality: tuple[str, ...] = ("",)
    position: float | None = None
    roi: NDArray[np.bool_] | None = None
    lesions: NDArray[np.bool_] | None = None
    unjudged: NDArray[np.bool_] | None = None
    twin: NDArray[np.float32] | None = None
    warnings: tuple[str, ...] = field(default=())

    @property
    def channels(self) -> int:
        """Number of channels."""
        return int(self.voxels.shape[0])

    def judged(self, roi: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The part of a region (rows, columns, slices) in which maps can be right or wrong."""
        return roi if self.unjudged is None else roi & ~self.unjudged
