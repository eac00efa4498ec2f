"""Which mask belongs to which image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unlesion.scans.bids.files import BidsFile
from unlesion.scans.checks import SAME_PLACE, SAME_PLACE_MM, corner_distance
from unlesion.scans.reading import has_marks

# Names for "the space of the image that it was drawn on".
_OWN_SPACES = ("", "orig", "individual", "scanner", "native")


def masks_of(root: Path, images: Sequence[BidsFile], masks: Sequence[BidsFile]) -> dict[str, list[BidsFile]]:
    """The masks of every image, by the image's path.

    A mask belongs to the images of its subject whose name agrees in every entity that both have a say in,
    whose space is the mask's, and on whose grid it lies. If it lies on the grid of none of the images that
    it is named for, it is given to all of them, and reading them will tell how it differs.
    """
    found: dict[str, list[BidsFile]] = {}
    for mask in masks:
        named = [image for image in images if _is_named_for(mask, image)]
        fitting = [image for image in named if _same_grid(root / mask.path, root / image.path)]
        for image in fitting or named:
            found.setdefault(image.path, []).append(mask)
    return found


def brains_of(root: Path, images: Sequence[BidsFile], brains: Sequence[BidsFile]) -> dict[str, BidsFile]:
    """The brain mask of every image that has one on its own grid, by the image's path; of several the first by name.

    One that lies elsewhere, as those of resampled derivatives do, cannot be read or marks nothing is passed over: the brain is
    then estimated.
    """
    found: dict[str, BidsFile] = {}
    for brain in brains:
        for image in images:
            # One that cannot be read, or marks nothing, would cost the scan.
            if (
                _is_named_for(brain, image)
                and _same_grid(root / brain.path, root / image.path)
                and has_marks(root / brain.path)
            ):
                found.setdefault(image.path, brain)
    return found


def _is_named_for(mask: BidsFile, image: BidsFile) -> bool:
    if mask.subject != image.subject:
        return False
    if mask.get("ses") != image.get("ses") and (mask.get("ses") or image.get("ses")):
        return False
    for entity in ("run", "acq", "ce", "rec", "echo"):
        if mask.get(entity) and mask.get(entity) != image.get(entity):
            return False
    space = mask.get("space")
    return space == image.get("space") or (
        not image.get("space") and (space in _OWN_SPACES or space == image.suffix)
    )


def _same_grid(mask: Path, image: Path) -> bool:
    """Whether two headers place their voxels alike; what cannot be read is told when it is."""
    import nibabel

    try:
        one, two = (nibabel.load(path) for path in (mask, image))  # type: ignore[attr-defined, unused-ignore]
        shapes: list[Any] = [tuple(getattr(part, "shape", ()))[:3] for part in (one, two)]
        affines = [np.asarray(getattr(part, "affine", None), dtype=np.float64) for part in (one, two)]
    except Exception:
        return True
    if shapes[0] != shapes[1] or affines[0].shape != (4, 4) or affines[1].shape != (4, 4):
        return False
    shortest = float(np.linalg.norm(affines[1][:3, :3], axis=0).min())
    return corner_distance(affines[0], affines[1], shapes[1]) <= max(SAME_PLACE_MM, SAME_PLACE * shortest)
