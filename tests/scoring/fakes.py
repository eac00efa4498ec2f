"""Small stand-ins for prepared scans."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from unlesion.scoring import ScanEvidence


@dataclass
class FakePrepared:
    """The attributes of a prepared scan that scoring reads."""

    images: NDArray[np.float32]
    roi: NDArray[np.bool_]
    positions: NDArray[np.float32] = field(default_factory=lambda: np.asarray([0.5], np.float32))
    spacing: tuple[float, float] = (3.0, 3.0)
    slice_mm: float = 0.0


def evidence(
    images: NDArray[np.float32],
    healthy: NDArray[np.float32] | None = None,
    *,
    roi: NDArray[np.bool_] | None = None,
    maps: dict[str, NDArray[np.float32]] | None = None,
    slice_mm: float = 0.0,
    positions: NDArray[np.float32] | None = None,
) -> ScanEvidence:
    """Evidence about images (S, C, H, W)."""
    slices, _, height, width = images.shape
    prepared = FakePrepared(
        images=images.astype(np.float32),
        roi=np.ones((slices, height, width), bool) if roi is None else roi,
        positions=np.linspace(0, 1, slices, dtype=np.float32) if positions is None else positions,
        slice_mm=slice_mm,
    )
    return ScanEvidence(
        prepared=prepared, healthy=None if healthy is None else healthy.astype(np.float32), maps=maps or {}
    )
