"""Evaluating a detector on a cohort: sweep, maps, metrics."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from unlesion.detector import Detector, roi_of
from unlesion.errors import BadInput
from unlesion.evaluation import EvaluatedScan, Evaluation, Evaluator, Units
from unlesion.prepare import Prepared
from unlesion.progress import Bars, silent
from unlesion.scans import Cohort, Entry, Scan
from unlesion.sweep import sweep

# Told about every scan with its row of scans.csv, to collect pictures.
OnScan = Callable[[EvaluatedScan, dict[str, Any]], None]


def evaluate_detector(
    detector: Detector,
    cohort: Cohort,
    out: Path,
    *,
    split: str = "test",
    executor: Executor | None = None,
    bars: Bars = silent,
    device: str = "auto",
    warn: Callable[[str], None] = lambda message: None,
    on_scan: OnScan | None = None,
) -> tuple[Evaluation, int]:
    """Measure a detector on the scans of `cohort`, and write the result into `out`.

    Args:
        detector: a trained, normally calibrated detector.
        cohort: the scans, already selected.
        out: folder for `metrics.json`, `scans.csv` and what `compare` needs.
        split: recorded: which split the scans are of.
        executor: reads and prepares scans ahead.
        bars: shows progress.
        device: where the network runs.
        warn: told about every scan that could not be used.
        on_scan: told about every scan that could.

    Returns:
        The evaluation, and how many scans could not be used.

    Raises:
        BadInput: there is no scan, or none could be used.
    """
    if len(cohort) == 0:
        raise BadInput(f"{cohort.name}: no scans in split {split!r}; choose another --split or --where")
    device = _device(device)
    evaluator = Evaluator(
        calibrations=detector.calibrations,
        scoring={name: scorer.config for name, scorer in detector.scorers.items()},
        name=detector.name,
        cohort={"name": cohort.name, "digest": cohort.digest, "split": split},
        record={"method": detector.method.name, "seed": detector.seed, **detector.record},
    )
    bad = 0
    with bars("evaluate", len(cohort)) as advance:
        for swept in sweep(cohort, detector.recipe, executor=executor):
            if swept.scan is None or swept.prepared is None:
                bad += 1
                warn(swept.problem)
            else:
                scan = evaluated(detector, swept.entry, swept.scan, swept.prepared, device=device)
                row = evaluator.add(scan)
                if on_scan is not None:
                    on_scan(scan, dict(row))
            advance(note=swept.entry.key)
    return evaluator.write(out), bad


def evaluated(
    detector: Detector, entry: Entry, scan: Scan, prepared: Prepared, *, device: str = "cpu"
) -> EvaluatedScan:
    """A scan with the detector's maps, ready to be measured."""
    evidence = detector.evidence(prepared, device=device)
    healthy = None if evidence.healthy is None else prepared.restore_healthy(evidence.healthy)
    return EvaluatedScan(
        key=entry.key,
        subject=entry.subject,
        scan_id=entry.scan_id,
        label=entry.label,
        pathology=entry.pathology,
        columns=entry.columns,
        maps=dict(detector.maps(scan, prepared, evidence)),
        roi=roi_of(scan, prepared),
        lesions=scan.lesions,
        image=scan.voxels,
        healthy=healthy,
        twin=scan.twin,
        units=Units(offset=tuple(prepared.intensity.offset), scale=tuple(prepared.intensity.scale)),
        spacing=scan.grid.spacing if scan.grid.spacing_known else None,
    )


def _device(wanted: str) -> str:
    if wanted != "auto":
        return wanted
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
