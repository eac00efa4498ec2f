"""Evaluating a detector on a cohort: sweep, maps, metrics."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from unlesion.calibration import Calibration
from unlesion.calibration.codes import is_coarse
from unlesion.calibration.met import doubts_about
from unlesion.detector import Detector, roi_of
from unlesion.errors import BadInput
from unlesion.evaluation import (
    SHARED,
    EvaluatedScan,
    Evaluation,
    Evaluator,
    Units,
    calibrate_maps,
    read_maps_folder,
    said_beside,
    unknown_of_maps,
)
from unlesion.prepare import Noticed, Prepared, on_prepared_grid
from unlesion.progress import Bars, silent, track
from unlesion.scans import Cohort, Entry, Scan, sides_of
from unlesion.sweep import Failures, sweep
from unlesion.wording import count

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
    failures: Failures | None = None,
    opened: Cohort | None = None,
    options: Sequence[str] = (),
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
        failures: takes the scans that could not be used, instead of `warn`.
        opened: the cohort before a split was chosen; helps to recognise scans that the run learnt from.
        options: words of the command line that chose the scans (`--where` and the like), to repeat it.

    Returns:
        The evaluation, and how many scans could not be used.

    Raises:
        BadInput: there is no scan, or none could be used.
        UnlesionError: none could be used, by a fault of ours.
    """
    cohort = cohort.labelled()
    if len(cohort) == 0:
        raise BadInput(f"{cohort.name}: no scans in split {split!r}; choose another --split or --where")
    device = resolved(device)
    native = detector.calibrations.get("native")
    doubts = doubts_about(
        cohort,
        record=detector.record,
        learnt=detector.method.spec.conditions,
        calibrated=native.modalities if native else (),
        opened=opened,
    )
    if words := on_prepared_grid(cohort):
        doubts.append(words)
    for words in doubts:
        warn(words)
    evaluator = Evaluator(
        calibrations=detector.calibrations,
        scoring={name: scorer.config for name, scorer in detector.scorers.items()},
        name=detector.name,
        cohort=_described(cohort, split, options),
        record={
            "method": detector.method.name,
            "seed": detector.seed,
            # The prints of a thousand scans are for programs to look up, in the run.
            **{name: value for name, value in detector.record.items() if name != "met"},
        },
        warnings=doubts,
    )
    failures = Failures(warn) if failures is None else failures
    noticed = Noticed()
    with bars("evaluate", len(cohort)) as advance:
        for swept in sweep(cohort, detector.recipe, executor=executor):
            if swept.scan is None or swept.prepared is None:
                failures.take(swept)
            else:
                scan: EvaluatedScan | None = None
                with failures.guard(swept.entry.key):
                    found = evaluated(detector, swept.entry, swept.scan, swept.prepared, device=device)
                    found.check()
                    scan = found
                if scan is not None:
                    # Not guarded: numbers that hold half a scan would be wrong.
                    row = evaluator.add(scan)
                    noticed.add(scan.key, detector.doubts(swept.prepared))
                    if on_scan is not None:
                        on_scan(scan, dict(row))
            advance(note=swept.entry.key)
    for line in noticed.lines(named=True):
        warn(line)
    evaluator.warnings += noticed.lines()
    if not evaluator.rows:
        failures.settle(f"{cohort.name}: no scan could be evaluated; the first: {failures.found[0].message}")
    return evaluator.write(out), len(failures)


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
        roi=scan.judged(roi_of(scan, prepared)),
        lesions=scan.lesions,
        image=scan.voxels,
        healthy=healthy,
        twin=scan.twin,
        units=Units(offset=tuple(prepared.intensity.offset), scale=tuple(prepared.intensity.scale)),
        spacing=scan.grid.spacing if scan.grid.spacing_known else None,
        sides=sides_of(scan.grid),
        assumed_width_mm=detector.assumed_width_mm(scan.modality),
        modality=scan.modality,
    )


def _described(cohort: Cohort, split: str, options: Sequence[str]) -> dict[str, str]:
    words = {"name": cohort.name, "digest": cohort.digest, "split": split}
    return {**words, **({"options": shlex.join(options)} if options else {})}


def resolved(wanted: str) -> str:
    """The torch device of a word: "auto" is CUDA where there is any."""
    if wanted != "auto":
        return wanted
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def evaluate_maps(
    maps: Path,
    cohort: Cohort,
    chosen: Cohort,
    out: Path,
    *,
    split: str = "test",
    bars: Bars = silent,
    warn: Callable[[str], None] = lambda message: None,
    on_calibrated: Callable[[Mapping[str, Calibration]], None] | None = None,
    on_scan: OnScan | None = None,
    options: Sequence[str] = (),
    failures: Failures | None = None,
) -> tuple[Evaluation, int]:
    """Measure anybody's maps, laid out as `detect` writes them.

    Thresholds come from the maps of the cohort's healthy rows of split `val`, where there are any.

    Args:
        maps: the folder of maps.
        cohort: all scans, for the healthy ones of `val`.
        chosen: the scans to evaluate on.
        out: folder for the result.
        split: recorded.
        bars: shows progress.
        warn: told about maps that are missing or could not be used.
        on_calibrated: told, before any scan, what healthy maps say, by scoring.
        on_scan: told about every scan that could.
        options: words of the command line that chose the scans, to repeat it.
        failures: takes the scans that could not be used, instead of `warn`.

    Raises:
        BadInput: no such folder, or no map of any scan in it.
    """
    chosen = chosen.labelled()
    failures = Failures(warn) if failures is None else failures
    # One kind of score for all: other numbers do not rank beside each other.
    said = said_beside(maps, [*chosen, *cohort.select(split="val", label="healthy")])
    scores = said.scores == said.maps
    doubts = []
    if len(said.runs) > 1:
        doubts.append(
            f"the maps are of several runs ({', '.join(said.runs[:3])}), whose values need not compare: detect into a folder for each run"
        )
    if 0 < said.scores < said.maps:
        doubts.append(
            f"{said.scores} of {count(said.maps, 'map')} come with a score in detection.json: not one of these is used, all scans are scored "
            "by the mean of the highest 1 % of their map"
        )
    calibrations = calibrate_maps(maps, cohort, failures=Failures(warn), scores=scores)
    if on_calibrated is not None:
        on_calibrated(calibrations)
    if not calibrations:
        warn(
            f"{maps}: no maps of healthy rows of split 'val': Dice at a healthy rate and p-values stay undefined"
        )
    folder = read_maps_folder(maps, chosen, failures=failures, scores=scores)
    own = {entry.key for entry in folder.entries if entry.split == "val" and entry.label == "healthy"}
    if calibrations and own:
        doubts.append(
            f"{count(len(own), 'healthy scan')} of split 'val' calibrated the thresholds and p-values that they are measured with "
            "here: false positives and p-values of them are not those of new scans; evaluate on split 'test'"
        )
    for words in doubts:
        warn(words)
    for key in folder.missing:
        failures.add(key, f"{key}: no map in {maps}")
    evaluator = Evaluator(
        calibrations={k: v for k, v in calibrations.items() if k == "native" or not folder.undrawn},
        # How the maps themselves were made is not known here.
        scoring={} if folder.undrawn else {"shared": SHARED},
        name=Path(maps).name,
        cohort=_described(chosen, split, options),
    )
    unsigned = predicted = coarse = 0
    for scan in track(folder, label="evaluate", total=len(folder), bars=bars):
        row = evaluator.add(scan)
        unsigned += scan.sign is None
        coarse += is_coarse(scan.maps["native"][0][scan.roi])
        predicted += scan.predicted is not None
        if on_scan is not None:
            on_scan(scan, dict(row))
    if coarse:
        doubts.append(
            f"the values of {count(coarse, 'map')} lie far from 0 for their spread, or all next to it, and are kept to three digits "
            "here: most become ties, and AP, AUROC and thresholds suffer; subtract an offset that all maps have in common, or multiply "
            "all by one number"
        )
        warn(doubts[-1])
    evaluator.warnings += doubts
    evaluator.warnings += unknown_of_maps(
        scans=len(evaluator.rows),
        unsigned=unsigned,
        predicted=0 if calibrations else predicted,
        undrawn=len(folder.undrawn),
    )
    return evaluator.write(out), len(failures)
