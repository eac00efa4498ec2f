"""What a scan out of a prepared store remembers of its preparation."""

from __future__ import annotations

from dataclasses import dataclass

from unlesion.scans.scan import Scan


@dataclass(frozen=True, kw_only=True)
class StoredGeometry:
    """Stands in `Grid.header` of a scan read back from a prepared store.

    Attributes:
        recipe: name of the recipe that prepared it.
        digest: its digest.
        positions: relative height of every slice.
        slice_mm: mm from slice to slice; 0 for a flat scan.
        marked: whether its mask marked a lesion before it was prepared; the store may be too coarse to show it.
    """

    recipe: str
    digest: str
    positions: tuple[float, ...]
    slice_mm: float
    marked: bool = False


def marks_lesion(scan: Scan) -> bool:
    """Whether the mask of a scan marks a lesion; of one out of a prepared store, whether it did before that."""
    header = scan.grid.header
    if isinstance(header, StoredGeometry) and header.marked:
        return True
    return scan.lesions is not None and bool(scan.lesions.any())
