"""Robust intensity normalisation: an offset and a scale per scan and channel, undone exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

# Values stay near 0 to 1; what is brighter than anything healthy is kept up to here.
CEILING = 1.5


@dataclass(frozen=True, kw_only=True)
class Intensity:
    """prepared = (scan - offset) / scale, per channel.

    Attributes:
        offset: per channel, in the scan's own units; becomes 0.
        scale: per channel, in the scan's own units, above 0; `offset + scale` becomes 1.
    """

    offset: tuple[float, ...]
    scale: tuple[float, ...]

    def apply(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scan units to prepared ones, (..., C, H, W), without clipping."""
        offset, scale = self._columns()
        return (images - offset) / scale

    def undo(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Prepared units back to the scan's, (..., C, H, W)."""
        offset, scale = self._columns()
        return images * scale + offset

    def _columns(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return (
            np.asarray(self.offset, dtype=np.float32)[:, None, None],
            np.asarray(self.scale, dtype=np.float32)[:, None, None],
        )


class NormaliseStep(BaseModel):
    """How intensities become comparable.

    Attributes:
        how: "percentiles" maps percentile `low` of the region to 0 and `high` to 1; "median" maps the
            background (0, or the darkest voxel where values are negative) to 0 and the region's median
            to `median_at`; "none" leaves values as they are.
        low, high: percentiles, for "percentiles".
        median_at: where the median goes, for "median".
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    how: Literal["percentiles", "median", "none"] = "percentiles"
    low: float = Field(default=1.0, ge=0, lt=100)
    high: float = Field(default=99.0, gt=0, le=100)
    median_at: float = Field(default=0.5, gt=0, le=1)

    def fit(self, voxels: NDArray[np.float32], region: NDArray[np.bool_]) -> Intensity:
        """The offset and scale of a scan, from its voxels (C, rows, columns, slices) in the region."""
        pairs = [self._fit_channel(channel[region]) for channel in voxels]
        return Intensity(offset=tuple(p[0] for p in pairs), scale=tuple(p[1] for p in pairs))

    def _fit_channel(self, values: NDArray[np.float32]) -> tuple[float, float]:
        if self.how == "none" or values.size == 0:
            return 0.0, 1.0
        if self.how == "median":
            offset = 0.0
            scale = (float(np.median(values)) - offset) / self.median_at
        else:
            low, high = np.percentile(values, [self.low, self.high])
            offset, scale = float(low), float(high - low)
        if not scale > 0:
            # A region that is nearly flat: fall back on its whole range, and at last on 1.
            offset = float(values.min())
            scale = float(values.max() - values.min()) or 1.0
        return offset, scale
