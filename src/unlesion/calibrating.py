"""Calibrating a detector on healthy scans, along the very path that detection takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

import numpy as np

from unlesion.calibration import Calibration, CalibrationBuilder
from unlesion.detector import Detector, roi_of
from unlesion.errors import BadInput
from unlesion.methods.own_maps import refuse_unknown_maps
from unlesion.prepare import Noticed, marks_lesion
from unlesion.progress import Bars, silent
from unlesion.scans import Cohort, Entry
from unlesion.scans.mask_labels import marked_but_healthy
from unlesion.scoring import COMMON, ScoringConfig, make_scorer
from unlesion.settings import merged, nested, validated
from unlesion.sweep import Failures, sweep

# Settings of a standardised scoring that what it learnt in training depends on.
_LEARNT = ("standardise", "rule", "sign", "height_bins", "sd_floor", "patch")


def with_scoring(detector: Detector, over: Mapping[str, Any]) -> Detector:
    """The same detector with other settings of its native scoring; it needs calibration anew.

    Args:
        detector: a trained detector.
        over: settings by dotted name, such as {"post.median_mm": 5}.

    Raises:
        BadInput: an unknown setting, value or map, or one that needs the training scans.
    """
    old = detector.scorers["native"]
    values = merged(old.config.model_dump(mode="json"), nested(over))
    scorer = make_scorer(validated(ScoringConfig, values, what="scoring"))
    refuse_unknown_maps(detector.method, detector.network, scorer.config.rule)
    if scorer.needs_fit:
        for name in _LEARNT:
            if getattr(scorer.config, name) != getattr(old.config, name):
                raise BadInput(
                    f"--set scoring.{name}: the mean and SD of healthy training scans hang on it; train with it"
                )
        scorer.load_state_dict(old.state_dict())
    scorers = {**detector.scorers, "native": scorer}
    if "shared" in scorers:
        # As in training: post-processing and pooling are common to both.
        common = {name: values[name] for name in COMMON if name in nested(over)}
        shared = merged(scorers["shared"].config.model_dump(mode="json"), common)
        scorers["shared"] = make_scorer(validated(ScoringConfig, shared, what="scoring"))
    return replace(detector, scorers=scorers, calibrations={})


def with_method(detector: Detector, over: Mapping[str, Any]) -> Detector:
    """The same weights with other settings of the method, of those that training does not hang on; it needs calibration anew.

    Args:
        detector: a trained detector.
        over: settings by dotted name, such as {"t_test": [250, 500]}.

    Raises:
        BadInput: an unknown setting or value, one that training hangs on, or a scoring that was learnt from training scans
            with the settings of before.
    """
    method = detector.method
    config = validated(
        method.Config, merged(method.config.model_dump(mode="json"), nested(over)), what="method"
    )
    free = method.Config.at_detection
    if learnt := [name for name in over if name.partition(".")[0] not in free]:
        others = f"; free are {', '.join(f'method.{name}' for name in sorted(free))}" if free else ""
        raise BadInput(f"--set method.{learnt[0]}: training hangs on it, train with it{others}")
    if any(scorer.config.standardise for scorer in detector.scorers.values()):
        raise BadInput(
            f"--set method.{next(iter(over))}: the mean and SD of healthy training scans hang on it; "
            "use `unlesion train --weights` on the training scans"
        )
    changed = type(method)(config, method.spec)
    network = changed.build().eval()
    network.load_state_dict(detector.network.state_dict())
    return replace(detector, method=changed, network=network, calibrations={})


def calibrate_detector(
    detector: Detector,
    entries: Sequence[Entry] | Cohort,
    *,
    executor: Executor | None = None,
    bars: Bars = silent,
    device: str = "cpu",
    warn: Callable[[str], None] = lambda message: None,
    failures: Failures | None = None,
    noticed: Noticed | None = None,
) -> dict[str, Calibration]:
    """Thresholds and p-values from healthy scans, one calibration per scoring of the detector.

    Args:
        detector: a trained detector.
        entries: healthy scans that were not trained on.
        executor: reads and prepares scans ahead.
        bars: shows progress.
        device: where the network runs.
        warn: told about every scan that could not be used.
        failures: takes the scans that could not be used, instead of `warn`.
        noticed: takes what there is to say of the scans that could.

    Raises:
        BadInput: an anomalous scan among them, or no usable scan at all.
        UnlesionError: no usable scan, by a fault of ours.
    """
    anomalous = [entry.key for entry in entries if entry.label != "healthy"]
    if anomalous:
        raise BadInput(f"{anomalous[0]}: labelled anomalous; thresholds come from healthy scans only")
    builders = {name: CalibrationBuilder() for name in detector.scorers}
    failures = Failures(warn) if failures is None else failures
    before = len(failures)
    with bars("calibrate", len(entries)) as advance:
        for swept in sweep(entries, detector.recipe, executor=executor):
            if swept.scan is None or swept.prepared is None:
                failures.take(swept)
            else:
                maps, roi = {}, None
                with failures.guard(swept.entry.key):
                    if marks_lesion(swept.scan):
                        raise BadInput(marked_but_healthy(swept.entry.key))
                    evidence = detector.evidence(swept.prepared, device=device)
                    roi = roi_of(swept.scan, swept.prepared)
                    made = detector.maps(swept.scan, swept.prepared, evidence)
                    if not all(
                        np.isfinite(after).all() and np.isfinite(score) for after, _, score in made.values()
                    ):
                        raise ValueError("the map or its score holds values that are not finite")
                    maps = made
                subject = swept.entry.subject or swept.entry.key
                if maps and noticed is not None:
                    noticed.add(swept.entry.key, detector.doubts(swept.prepared))
                for name, (after, _, score) in maps.items():
                    assert roi is not None
                    builders[name].add(subject, after, roi, score, modality=swept.scan.modality)
            advance(note=swept.entry.key)
    if len(entries) and len(failures) - before == len(entries):
        failures.settle(f"no healthy scan could be used; the first: {failures.found[before].message}")
    return {name: builder.finish() for name, builder in builders.items()}
