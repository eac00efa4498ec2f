"""Calibrating a detector on healthy scans, along the very path that detection takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from unlesion.calibration import Calibration, CalibrationBuilder
from unlesion.detector import Detector, roi_of
from unlesion.errors import BadInput
from unlesion.progress import Bars, silent
from unlesion.scans import Cohort, Entry
from unlesion.sweep import sweep


def calibrate_detector(
    detector: Detector,
    entries: Sequence[Entry] | Cohort,
    *,
    executor: Executor | None = None,
    bars: Bars = silent,
    device: str = "cpu",
    warn: Callable[[str], None] = lambda message: None,
) -> dict[str, Calibration]:
    """Thresholds and p-values from healthy scans, one calibration per scoring of the detector.

    Args:
        detector: a trained detector.
        entries: healthy scans that were not trained on.
        executor: reads and prepares scans ahead.
        bars: shows progress.
        device: where the network runs.
        warn: told about every scan that could not be used.

    Raises:
        BadInput: an anomalous scan among them, or no usable scan at all.
    """
    anomalous = [entry.key for entry in entries if entry.label != "healthy"]
    if anomalous:
        raise BadInput(f"{anomalous[0]}: labelled anomalous; thresholds come from healthy scans only")
    builders = {name: CalibrationBuilder() for name in detector.scorers}
    with bars("calibrate", len(entries)) as advance:
        for swept in sweep(entries, detector.recipe, executor=executor):
            if swept.scan is None or swept.prepared is None:
                warn(swept.problem)
            else:
                evidence = detector.evidence(swept.prepared, device=device)
                roi = roi_of(swept.scan, swept.prepared)
                subject = swept.entry.subject or swept.entry.key
                for name, (after, _, score) in detector.maps(swept.scan, swept.prepared, evidence).items():
                    builders[name].add(subject, after, roi, score)
            advance(note=swept.entry.key)
    return {name: builder.finish() for name, builder in builders.items()}
