"""The region of interest: the part of a scan that is normalised, learnt and scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from unlesion.prepare import brain, foreground, stripped
from unlesion.scans.scan import Scan

Spacing = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class Region:
    """A region found in a scan.

    Attributes:
        mask: (rows, columns, slices) bool.
        stripped: True where the scan shows nothing but the region (a skull-stripped brain).
        warnings: doubts, in words.
    """

    mask: NDArray[np.bool_]
    stripped: bool
    warnings: tuple[str, ...] = ()


class RoiStep(BaseModel):
    """How the region is found.

    Attributes:
        how: "given_or_nonzero": every voxel that is not background, inside the roi that came with the scan
            if one did; "head": that roi, else everything but air; "brain": see below; "body": the picture
            without black borders (and inside the roi); "whole": all of it, whatever came with the scan.
        erode_mm: taken off the region's edge before learning and scoring.

    "brain" takes the first of these that applies: a roi that leaves tissue out is somebody's brain mask and
    is used as it is (`is_choice`); a skull-stripped scan is used where it is not background (`is_stripped`);
    in a head, the brain is estimated (`brain.estimate`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    how: Literal["given_or_nonzero", "head", "brain", "body", "whole"] = "brain"
    erode_mm: float = Field(default=0.0, ge=0)

    def find(self, scan: Scan, spacing: tuple[float, float, float]) -> Region:
        """The region of a scan whose voxels have this size in mm."""
        if self.how == "whole":
            return Region(mask=np.ones(scan.grid.shape, dtype=bool), stripped=False)
        image = scan.voxels[0] if scan.channels == 1 else scan.voxels.mean(axis=0)
        given = scan.roi if scan.roi is not None and scan.roi.any() else None
        if self.how == "body":
            body = foreground.without_borders(image)
            return _or_whole(body if given is None else body & given, stripped=False)
        if self.how == "head":
            return _or_whole(foreground.head(image) if given is None else given, stripped=False)
        if self.how == "given_or_nonzero":
            return _or_whole(_nonzero(scan, given), stripped=True)
        return self._brain(scan, image, given, spacing)

    def _brain(
        self, scan: Scan, image: NDArray[np.float32], given: NDArray[np.bool_] | None, spacing: Spacing
    ) -> Region:
        """A brain mask that came with the scan, a skull-stripped brain as it is, or an estimate."""
        if given is not None and is_choice(image, given):
            return _or_whole(given, stripped=False)
        if stripped.is_stripped(image, spacing, given=given):
            return _or_whole(_nonzero(scan, given), stripped=True)
        head = foreground.head(image) if given is None else given
        return _or_whole(brain.estimate(image, head, spacing), stripped=False)


def is_choice(image: NDArray[np.float32], given: NDArray[np.bool_]) -> bool:
    """Whether a given region leaves tissue out: then it is a choice (a brain mask), not just "not air".

    Tissue outside as bright as half the region's median must cover a tenth of the region's area: a scalp
    does, noise, markers and the rim of a tight head mask do not.
    """
    bright = image > 0.5 * float(np.median(image[given]))
    return bool((bright & ~given).sum() > 0.1 * given.sum())


def _nonzero(scan: Scan, given: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    known = foreground.nonzero(scan.voxels)
    return known if given is None else known & given


def _or_whole(mask: NDArray[np.bool_], *, stripped: bool) -> Region:
    """A region that is hardly there is no region: use the whole picture, and say so."""
    if mask.mean() >= 0.002:
        return Region(mask=mask, stripped=stripped)
    warning = "no brain or head found in the image: the whole picture is used"
    return Region(mask=np.ones(mask.shape, dtype=bool), stripped=False, warnings=(warning,))
