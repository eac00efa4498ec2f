"""Galleries: which slices a page shows, collected while scans stream by."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unlesion.calibration import Calibration
    from unlesion.detector import Detector
    from unlesion.report import GalleryBuilder
    from unlesion.scans import Cohort, Entry
    from unlesion.scoring import PostConfig

# Healthy scans that a run's page shows.
HEALTHY = 4


def builder_for(detector: Detector) -> GalleryBuilder:
    """A gallery on the scale of the detector's calibration; where a threshold is 0, of the next stricter one."""
    return builder_on(detector.calibrations.get("native"), detector.scorers["native"].config.post)


def builder_on(calibration: Calibration | None, post: PostConfig) -> GalleryBuilder:
    """A gallery on the scale of a calibration, if there is one; components that are too small do not count."""
    from unlesion.calibration import RATES
    from unlesion.report import GalleryBuilder

    if calibration is None:
        return GalleryBuilder(threshold=None)
    whole = calibration.drawn_at(RATES["fpr_001"])
    parts = {name: part.drawn_at(RATES["fpr_001"]) for name, part in calibration.parts.items()}
    return GalleryBuilder(
        threshold=None if whole is None else whole[0],
        by_modality={name: drawn[0] for name, drawn in parts.items() if drawn is not None},
        post=post,
    )


def save_healthy_gallery(
    detector: Detector, cohort: Cohort | Sequence[Entry], run: Path, *, device: str
) -> None:
    """Show a run a few healthy scans that it did not learn from, of different subjects where there are."""
    from unlesion.evaluating import evaluated
    from unlesion.sweep import Failures

    builder = builder_for(detector)
    # Scans that cannot be used were named while calibrating.
    unusable = Failures()
    for entry in spread_out(list(cohort)):
        with unusable.guard(entry.key):
            scan = entry.read()
            builder.look(evaluated(detector, entry, scan, detector.prepare(scan), device=device))
    builder.finish().save(run / "gallery")


def spread_out(entries: Sequence[Entry]) -> list[Entry]:
    """A few of them: subjects evenly, and of each a slice from higher up than of the one before."""
    subjects: dict[str, list[Entry]] = {}
    for entry in entries:
        subjects.setdefault(entry.subject or entry.key, []).append(entry)
    groups = list(subjects.values())
    shown = min(HEALTHY, len(entries))
    chosen: dict[str, Entry] = {}
    for number in range(shown):
        share = (number + 0.5) / shown
        own = groups[int(share * len(groups))]
        entry = own[int(share * len(own))]
        chosen[entry.key] = entry
    return list(chosen.values())
