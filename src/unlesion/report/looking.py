"""Looking at a few scans with a detector, for the gallery of a run's page."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import replace
from typing import TYPE_CHECKING

from unlesion.report.gallery import Gallery
from unlesion.report.picking import GalleryBuilder

if TYPE_CHECKING:
    from unlesion.detector import Detector
    from unlesion.scans import Cohort, Entry


def look_at(
    detector: Detector,
    entries: Iterable[Entry] | Cohort,
    *,
    most: int = 8,
    each: int = 4,
    executor: Executor | None = None,
    device: str = "cpu",
) -> Gallery:
    """A gallery of a few scans, drawn at random, one per subject; save it to RUN/gallery.

    Args:
        detector: a trained detector.
        entries: such as the healthy rows of split "val".
        most: at most so many scans are looked at.
        each: cases shown.
        executor: reads and prepares scans ahead.
        device: where the network runs.

    Returns:
        The gallery; scans that cannot be used are left out.
    """
    from unlesion.evaluating import evaluated
    from unlesion.sweep import sweep

    first: dict[str, Entry] = {}
    for entry in sorted(entries, key=lambda e: hashlib.sha256(e.key.encode()).digest()):
        first.setdefault(entry.subject or entry.key, entry)
    calibration = detector.calibrations.get("native")
    builder = GalleryBuilder(
        threshold=None if calibration is None else calibration.thresholds["fpr_001"], each=each
    )
    for swept in sweep(list(first.values())[:most], detector.recipe, executor=executor):
        if swept.scan is not None and swept.prepared is not None:
            builder.look(evaluated(detector, swept.entry, swept.scan, swept.prepared, device=device))
    gallery = builder.finish()
    # Calibration scans have no p-value of their own, and none is worst among so few.
    return replace(gallery, cases=tuple(case for case in gallery.cases if case.kind in ("healthy", "lesion")))
