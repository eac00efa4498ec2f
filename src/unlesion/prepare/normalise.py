"""Robust intensity normalisation: an offset and a scale per scan and channel, undone exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

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


# Percentiles that become 0 and 1, unless named.
LOW, HIGH = 1.0, 99.0


class NormaliseStep(BaseModel):
    """How intensities become comparable.

    "median" is the default for MRI, by measurement. On tumour slices of lgg_flair (val; the tumour covers
    over a tenth of the brain) it moves the median of the *healthy* tissue by -5 % against healthy slices,
    percentiles 1 and 99 by -45 %: the tumour itself is the 99th percentile. Plain brightness then finds the
    lesions' pixels with AP 0.69 instead of 0.37. Median and interquartile range were alike (-5.5 %, AP 0.66)
    and give up the zero of the scanner, at which nothing is.

    Attributes:
        how: "median" maps 0 to 0 and the region's median to `median_at` (values that go well below 0, as
            z-scores do, start at percentile 1 instead of 0); "percentiles" maps percentile `low` of the
            region to 0 and `high` to 1; "none" leaves values as they are.
        low, high: percentiles, for "percentiles".
        median_at: where the median goes, for "median".
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    how: Literal["percentiles", "median", "none"] = "median"
    low: float = Field(default=LOW, ge=0, lt=100)
    high: float = Field(default=HIGH, gt=0, le=100)
    median_at: float = Field(default=0.5, gt=0, le=1)

    @model_validator(mode="after")
    def _ordered(self) -> NormaliseStep:
        if self.low >= self.high:
            raise ValueError(f"low ({self.low:g}) must be below high ({self.high:g})")
        if self.how != "percentiles" and (self.low, self.high) != (LOW, HIGH):
            raise ValueError(f"low and high do nothing with how: {self.how}; add normalise.how=percentiles")
        return self

    def fit(self, voxels: NDArray[np.float32], region: NDArray[np.bool_]) -> Intensity:
        """The offset and scale of a scan, from its voxels (C, rows, columns, slices) in the region."""
        pairs = [self._fit_channel(channel[region]) for channel in voxels]
        return Intensity(offset=tuple(p[0] for p in pairs), scale=tuple(p[1] for p in pairs))

    def _fit_channel(self, values: NDArray[np.float32]) -> tuple[float, float]:
        if self.how == "none" or values.size == 0:
            return 0.0, 1.0
        if self.how == "median":
            dark, middle, bright = np.percentile(values, [1, 50, 99])
            offset = float(dark) if dark < -0.05 * (bright - dark) else 0.0
            scale = (float(middle) - offset) / self.median_at
        else:
            low, high = np.percentile(values, [self.low, self.high])
            offset, scale = float(low), float(high - low)
        if not scale > 1e-6 * float(np.abs(values).max()):
            # Most of the region has one value (or its median is 0): its whole range, and at last 1.
            offset = float(values.min())
            scale = float(values.max()) - offset or 1.0
        return offset, scale
