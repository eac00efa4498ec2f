"""The square field of view that becomes the prepared picture."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class CropStep(BaseModel):
    """How much of the aligned scan a prepared picture shows.

    Attributes:
        field_mm: side of the square field in (aligned) millimetres; None takes the longer side of the
            region (or of the whole picture, without alignment), so that all of it is seen.
        margin: added on each side, as a part of the field.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    field_mm: float | None = Field(default=None, gt=0)
    margin: float = Field(default=0.0, ge=0, lt=1)

    def side(self, extent_mm: tuple[float, float]) -> float:
        """Side of the field in mm, for a region (or picture) of this extent in mm."""
        side = self.field_mm if self.field_mm is not None else max(extent_mm)
        return side * (1.0 + 2.0 * self.margin)
