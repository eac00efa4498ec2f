"""Alignment: a frame in millimetres in which scans of different heads lie alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from unlesion.prepare.roi import Region
from unlesion.scans.scan import Scan

Spacing = tuple[float, float, float]

# A region lower than this share of a brain's height is a slab.
LEAST_HEIGHT = 0.6
# Extent of the MNI152 template's brain in mm along posterior, left and up.
STANDARD_EXTENT = (180.0, 145.0, 154.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """A frame of millimetres with its origin in the middle of the field.

    Attributes:
        to_scan: (4, 4), (mm posterior, mm left, mm up, 1) to the canonical index of the scan.
        extent_mm: of the region (or picture) along rows and columns, in the frame's millimetres.
        bottom, top: heights of the region's ends, where positions are 0 and 1.
        warnings: what went wrong and what was done instead.
    """

    to_scan: NDArray[np.float64]
    extent_mm: tuple[float, float]
    bottom: float
    top: float
    warnings: tuple[str, ...] = ()


class AlignStep(BaseModel):
    """How scans are laid on one another.

    Attributes:
        how: "none": the middle of the picture stays the middle; "centre": the middle of the region comes
            to the middle of the field and, for volumes, its size to that of the MNI152 brain;
            "template": volumes by an affine map onto the MNI152 template ("centre" where that fails).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    how: Literal["none", "centre", "template"] = "centre"

    def frame(self, scan: Scan, region: Region, spacing: Spacing) -> Frame:
        """The frame of a scan whose voxels have this size in mm."""
        if self.how == "none":
            return _middle_of_picture(scan, region, spacing)
        found = _middle_of_region(region, spacing, resize=not scan.grid.is_flat)
        if self.how == "template":
            from unlesion.prepare import template

            found = template.frame(scan, region, spacing, start=found)
        # Where voxels have no known size, nobody knows how much of a head they are.
        known = scan.grid.spacing_known and not scan.grid.is_flat
        return replace(found, warnings=(*found.warnings, *_slab(found, region, spacing))) if known else found


def _middle_of_picture(scan: Scan, region: Region, spacing: Spacing) -> Frame:
    shape = np.array(scan.grid.shape, dtype=np.float64)
    extent = shape * spacing
    low, high = _ends(region.mask, axis=2)
    return Frame(
        to_scan=_axes(spacing, middle=((shape[0] - 1) / 2, (shape[1] - 1) / 2, 0.0)),
        extent_mm=(float(extent[0]), float(extent[1])),
        bottom=low * spacing[2],
        top=high * spacing[2],
    )


def _middle_of_region(region: Region, spacing: Spacing, *, resize: bool) -> Frame:
    ends = [_ends(region.mask, axis=axis) for axis in range(3)]
    middle = [(low + high) / 2 for low, high in ends]
    extent = [(high - low + 1) * size for (low, high), size in zip(ends, spacing, strict=True)]
    scale = 1.0
    if resize:
        # In-plane extents only: a volume may hold a part of the head's height. Flat scans are never
        # rescaled by their region: a slice near the top of the head would be blown up to the size of
        # one through its middle, and atlas and network would lose what "this large" means.
        ratio = np.sqrt(extent[0] / STANDARD_EXTENT[0] * extent[1] / STANDARD_EXTENT[1])
        scale = float(np.clip(ratio, 0.75, 1.33))
        middle[2] = 0.0
    stretched = (spacing[0] / scale, spacing[1] / scale, spacing[2] / scale)
    return Frame(
        to_scan=_axes(stretched, middle=(middle[0], middle[1], middle[2])),
        extent_mm=(extent[0] / scale, extent[1] / scale),
        bottom=ends[2][0] * stretched[2],
        top=ends[2][1] * stretched[2],
    )


def _slab(frame: Frame, region: Region, spacing: Spacing) -> tuple[str, ...]:
    """What to say of a part of a brain: which one it is, nothing here finds out."""
    low, high = _ends(region.mask, axis=2)
    height = (high - low + 1) * spacing[2]
    if height >= LEAST_HEIGHT * STANDARD_EXTENT[2]:
        return ()
    # On the template heights are the template's; else they run from end to end of what is there.
    aligned = frame.top - frame.bottom >= LEAST_HEIGHT * STANDARD_EXTENT[2]
    taken = "the upper end of one" if aligned else "a whole one"
    return (
        f"only {height:.0f} mm of the brain's height are there, of about {STANDARD_EXTENT[2]:.0f}: they are taken for {taken}, "
        "which may be wrong",
    )


def _axes(spacing: Spacing, *, middle: tuple[float, float, float]) -> NDArray[np.float64]:
    matrix = np.diag([1 / spacing[0], 1 / spacing[1], 1 / spacing[2], 1.0])
    matrix[:3, 3] = middle
    return matrix


def _ends(mask: NDArray[np.bool_], *, axis: int) -> tuple[float, float]:
    """First and last index of the region along an axis, without thin outliers (0.5 % of it each end)."""
    others = tuple(other for other in range(3) if other != axis)
    filled = np.cumsum(mask.sum(axis=others, dtype=np.int64))
    if filled[-1] == 0:
        return 0.0, float(mask.shape[axis] - 1)
    low = np.searchsorted(filled, 0.005 * filled[-1])
    high = np.searchsorted(filled, 0.995 * filled[-1])
    return float(low), float(high)
