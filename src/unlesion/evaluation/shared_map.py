"""The shared scoring of somebody's maps: plain |scan - healthy|, from the images alone."""

from __future__ import annotations

import numpy as np

from unlesion.evaluation.fidelity import Floats, Mask, Units
from unlesion.evaluation.scan import Scored
from unlesion.scoring import ScoringConfig, post_process
from unlesion.scoring.post import ASSUMED_WIDTH_MM

SHARED = ScoringConfig()
"""A residual of both signs under the post-processing that is common to all methods."""


def shared_map(
    image: Floats, healthy: Floats, roi: Mask, *, spacing: tuple[float, float, float] | None
) -> Scored:
    """The shared map on the scan's own grid; a run's is made on the grid of its recipe.

    Args:
        image: (C, rows, columns, slices) in the scan's own units.
        healthy: the same, the pseudo-healthy image.
        roi: (rows, columns, slices), the region that counts.
        spacing: mm along rows, columns, slices; None unknown: then the picture has the width that is
            assumed where nothing is known.

    Returns:
        The map, in units of the scan's 1st to 99th percentile inside the roi, with and without
        post-processing; the scan score is left to be pooled from it.
    """
    units = Units.of(image, roi)
    raw = np.abs(units.apply(image) - units.apply(healthy)).mean(axis=0)
    raw = np.where(roi, raw, np.float32(0)).astype(np.float32, copy=False)
    rows, columns, slices = spacing or (ASSUMED_WIDTH_MM / max(roi.shape[:2]),) * 3
    after = post_process(
        np.ascontiguousarray(raw.transpose(2, 0, 1)),
        np.ascontiguousarray(roi.transpose(2, 0, 1)),
        spacing=(rows, columns),
        slice_mm=slices,
        config=SHARED.post,
    )
    return np.ascontiguousarray(after.transpose(1, 2, 0)), raw, None
