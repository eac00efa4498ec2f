"""What a scan out of a prepared store remembers of its preparation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class StoredGeometry:
    """Stands in `Grid.header` of a scan read back from a prepared store.

    Attributes:
        recipe: name of the recipe that prepared it.
        digest: its digest.
        positions: relative height of every slice.
        slice_mm: mm from slice to slice; 0 for a flat scan.
    """

    recipe: str
    digest: str
    positions: tuple[float, ...]
    slice_mm: float
