"""Which axial slices of a volume are prepared."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field


class SliceStep(BaseModel):
    """Axial slices over a range of heights.

    Attributes:
        step_mm: distance from slice to slice.
        lowest, highest: relative heights, 0 the bottom and 1 the top of the region (of the template's
            brain, for scans aligned to it).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    step_mm: float = Field(default=4.0, gt=0)
    lowest: float = Field(default=0.0, ge=0, lt=1)
    highest: float = Field(default=1.0, gt=0, le=1)

    def heights(self, bottom: float, top: float) -> NDArray[np.float64]:
        """Heights in mm of the slices, evenly `step_mm` apart and centred in the range."""
        low = bottom + self.lowest * (top - bottom)
        high = bottom + self.highest * (top - bottom)
        count = max(1, int((high - low) / self.step_mm + 1e-6))
        first = (low + high) / 2 - (count - 1) * self.step_mm / 2
        return np.asarray(first + self.step_mm * np.arange(count), dtype=np.float64)
