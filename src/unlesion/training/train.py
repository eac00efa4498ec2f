"""From healthy scans to a calibrated detector."""

from __future__ import annotations

import json
import platform
import shlex
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
import torch

import unlesion
from unlesion.calibrating import calibrate_detector
from unlesion.calibration import TrainingProfile
from unlesion.calibration.met import met_by
from unlesion.detector import Detector
from unlesion.errors import BadInput
from unlesion.methods.base import InputSpec, Method
from unlesion.methods.registry import BATCH, get_method, preset_settings
from unlesion.modality import condition_name
from unlesion.networks import contrast_maps
from unlesion.networks.precision import in_bfloat16
from unlesion.prepare import (
    Noticed,
    PreparedStore,
    Recipe,
    is_store,
    prepare_cohort,
    store_cohort,
)
from unlesion.progress import Bars, counted, silent
from unlesion.scans import Cohort
from unlesion.scoring import ScanEvidence, ScoringConfig
from unlesion.seeds import seed_of
from unlesion.settings import merged, nested, validated
from unlesion.sweep import Failures, sweep
from unlesion.training.budget import HOLD
from unlesion.training.choosing import doubts_before_training, healthy_rows, recipe_for, slices_of
from unlesion.training.claiming import claim, hold_to, is_finished
from unlesion.training.config import TrainingConfig
from unlesion.training.history import History
from unlesion.training.refusing import expected_input, refuse_early
from unlesion.training.repeat import command_line, repeat_words
from unlesion.training.reuse import budget_of, learnt_by, take_weights
from unlesion.training.scorers import scorers_of
from unlesion.training.source import SliceSource
from unlesion.wording import count

DEFAULT_MINUTES = 5.0
# Below a run that prepares for itself; hidden, so that it is nobody's else. Gone when the run is finished.
OWN_STORE = ".store"

# A scorer that standardises learns its healthy mean and SD from at most this many scans.
NORMATIVE_SCANS = 60

Settings = Mapping[str, Mapping[str, Any]]


def train(
    cohort: Cohort | Path | str,
    *,
    method: str,
    out: Path | str,
    recipe: str | Path | Recipe | None = None,
    preset: str = "cpu",
    minutes: float | None = None,
    steps: str | int | None = None,
    seed: int = 0,
    settings: Settings | None = None,
    resume: bool = False,
    store: PreparedStore | None = None,
    executor: Executor | None = None,
    bars: Bars = silent,
    device: str = "auto",
    tell: Callable[[str], None] = lambda message: None,
    warn: Callable[[str], None] | None = None,
    source_words: Sequence[str] | None = None,
    weights: Path | str | None = None,
    failures: Failures | None = None,
) -> Detector:
    """Learn what is healthy from a cohort and write the run.

    Fits on the healthy rows of split `train`, calibrates on the healthy rows of split `val`;
    anomalous rows are never read. Without a split, subjects are split 80/20 by a hash of their name.

    Args:
        cohort: scans, or the path of a manifest, folder or prepared store.
        method: name of the method, see `unlesion methods`.
        out: folder of the run.
        recipe: a name, a file or a Recipe; by default chosen from what the cohort holds.
        preset: "tiny", "cpu", "gpu" or "paper".
        minutes: budget of all training stages together; 5 by default.
        steps: instead of minutes: a total, or "stage=N,stage=N".
        seed: same seed, same data, same machine: same result.
        settings: like `--set`: {"method": {...}, "recipe": {...}, "scoring": {...}, "training": {...}}.
        resume: go on with an interrupted run in `out`; one that is finished is loaded as it is.
        store: the cohort's training scans, already prepared with the same recipe.
        executor: reads and prepares scans in parallel.
        bars: shows progress.
        device: "auto", "cpu", "cuda".
        tell: told in words what is chosen.
        warn: told about scans that could not be used; `tell` by default.
        source_words: words of the command line that open the cohort: its path, `--where` and the like;
            by default the cohort's path, or its name where that is all there is.
        weights: a finished run of the same training, which may differ in scoring and in settings of detection: its weights
            are taken instead of learning them again, and its budget is this one's.
        failures: takes the scans that could not be used, instead of `warn`.

    Returns:
        The calibrated detector, as saved in `out`.

    Raises:
        BadInput: no healthy training scans, a single subject, unknown names, a folder in use.
        UnlesionError: training diverged.
    """
    began = time.monotonic()
    out = Path(out)
    chosen: dict[str, dict[str, Any]] = {room: dict(values) for room, values in (settings or {}).items()}
    method_class = get_method(method)
    fixed = preset_settings(method_class, preset)
    image_size, batch = int(fixed.pop("image_size")), int(fixed.pop("batch", BATCH))
    if source_words is None:
        source_words = [cohort.name if isinstance(cohort, Cohort) else str(cohort)]
    if not isinstance(cohort, Cohort) and is_store(cohort):
        store = store or PreparedStore.open(cohort)
        cohort = store_cohort(cohort)
    cohort = cohort if isinstance(cohort, Cohort) else Cohort.open(Path(cohort))
    cohort = cohort.with_splits()
    warn = warn or tell
    # From here on only these are looked at: a training must not see an anomalous or a test scan.
    healthy, held_out = healthy_rows(cohort, warn)
    the_recipe = recipe_for(recipe, healthy, image_size, chosen.get("recipe", {}), store, tell, warn)
    config = validated(method_class.Config, merged(fixed, nested(chosen.get("method", {}))), what="method")
    for doubt in doubts_before_training(healthy, method_class, config, chosen.get("training", {})):
        warn(doubt)
    training = validated(
        TrainingConfig, {"batch": batch, **nested(chosen.get("training", {}))}, what="training"
    )
    if minutes is not None and steps is not None:
        raise BadInput("--minutes and --steps: give one of them")
    if weights is not None:
        if minutes is not None or steps is not None:
            raise BadInput("--weights: the budget is that of the run; leave out --minutes and --steps")
        if resume and is_finished(out):
            # Nothing is left to take; the run that was taken from may be gone.
            weights = out
        minutes, steps = budget_of(Path(weights))
    elif minutes is None and steps is None:
        minutes = DEFAULT_MINUTES
    scoring = nested(chosen.get("scoring", {}))
    # Refused now and not after minutes of training.
    wanted = validated(ScoringConfig, merged(dict(method_class.native), scoring), what="scoring")
    if wanted.scan != "map" and not method_class.codes_distribution:
        raise BadInput(
            f"scoring.scan={wanted.scan}: {method} gives no distribution of codes; use scoring.scan=map, or a "
            "variational method"
        )
    device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    if training.clock == "processor" and device != "cpu":
        raise BadInput("training.clock=processor: a GPU computes by another clock; use wall, or --device cpu")
    identity = {
        "method": method,
        "method_version": method_class.version,
        "preset": preset,
        "seed": seed,
        "recipe": the_recipe.digest,
        **({"recontrast_version": contrast_maps.VERSION} if training.recontrast else {}),
        "config": config.model_dump(mode="json"),
        "training": training.model_dump(mode="json"),
        "cohort": cohort.digest,
        "minutes": minutes,
        "steps": None if steps is None else str(steps),
        # As JSON gives it back, so that it can be compared with what was begun.
        "scoring": json.loads(json.dumps(scoring, default=str)),
    }
    learnt = None
    if weights is not None:
        learnt = learnt_by(Path(weights), identity, healthy, at_detection=method_class.Config.at_detection)
    refuse_early(
        method_class(config, expected_input(healthy, the_recipe)),
        steps,
        wanted.rule,
        batch=training.batch,
        recontrast=training.recontrast,
        resume=resume or learnt is not None,
    )
    # Steps are timed on one device, and repeat in one precision only.
    machine = {"device": device.partition(":")[0], "bfloat16": in_bfloat16(training.precision, device)}
    claim(out, {**identity, **machine}, resume)
    if resume and is_finished(out):
        tell(f"{out}: finished already; nothing was left to do")
        return Detector.load(out)
    own_store = store is None
    unusable = Failures(warn) if failures is None else failures
    left_out = len(cohort.select(split="train", label="healthy")) - len(healthy)
    if store is None:
        with counted(bars, "prepare") as progress:
            store, bad = prepare_cohort(
                healthy, the_recipe, out / OWN_STORE, executor=executor, progress=progress
            )
        unusable.take_all(bad, said="left out: ")
    # A store may hold more than was chosen: only the slices of the chosen scans are learnt from.
    keys = {entry.key for entry in healthy}
    chosen_rows = [number for number, row in enumerate(store.scans) if row["key"] in keys]
    if not chosen_rows:
        raise BadInput(
            f"{store.path}: holds none of the healthy training scans of {cohort.name}; prepare again"
        )
    indices = np.flatnonzero(np.isin(store.slice_scan, chosen_rows))
    hold_to(out, "slices", slices_of(store, chosen_rows))
    modality = tuple(store.scans[chosen_rows[0]]["modality"])
    spec = InputSpec(
        channels=int(store.images.shape[1]),
        size=the_recipe.size,
        modalities=modality,
        conditions=tuple(sorted({condition_name(store.scans[row]["modality"]) for row in chosen_rows})),
    )
    torch.manual_seed(seed_of(seed, "weights"))
    the_method = method_class(config, spec)
    network = the_method.build()
    # In float32 channels beside each other always pay, whatever normalises them.
    if device == "cpu" and (the_method.channels_last or not in_bfloat16(training.precision, device)):
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network = network.to(device)
    source = SliceSource(
        store,
        indices,
        batch=training.batch,
        seed=seed,
        mirror=training.mirror,
        contrast=training.contrast,
        recontrast=training.recontrast,
        balance=training.balance,
    )
    record: dict[str, Any] = {**identity, "cohort_name": cohort.name, "device": device}
    record["healthy_scans"] = len({int(store.slice_scan[i]) for i in indices})
    record["healthy_subjects"] = len({store.scans[int(store.slice_scan[i])]["subject"] for i in indices})
    record["slices"] = len(indices)
    noticed = Noticed()
    for row in chosen_rows:
        noticed.add(store.scans[row]["key"], store.scans[row]["warnings"])
    for line in noticed.lines(named=True):
        warn(f"learnt from: {line}")
    record["warnings"] = [*cohort.warnings, *(f"learnt from: {line}" for line in noticed.lines())]
    record["met"] = met_by(healthy, held_out)
    if learnt is None:
        record.update(
            _learn(the_method, network, source, training, out, seed, minutes, steps, resume, device, bars)
        )
    else:
        record.update(take_weights(network, learnt, out, slices=len(indices)))
    for name, number in (record["steps"] or {}).items():
        if number <= HOLD + 1:
            warn(
                f"stage {name!r} had {count(number, 'step')}: what changes over a stage begins after {HOLD}, so it is not what the method "
                "is meant to be; give more --minutes or --steps"
            )
    # The layout that a saved run comes back in: another one rounds differently.
    network = network.to("cpu", memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    detector = Detector(
        recipe=the_recipe,
        method=the_method,
        network=network,
        scorers=scorers_of(the_method, scoring),
        profile=TrainingProfile.fit(store, indices),
        seed=seed,
        name=out.name,
    )
    fit_scorers(detector, healthy, executor=executor, bars=bars, device=device)
    if len(held_out):
        held_back = Noticed()
        detector = detector.with_calibration(
            calibrate_detector(
                detector,
                held_out,
                executor=executor,
                bars=bars,
                device=device,
                failures=unusable,
                noticed=held_back,
            )
        )
        for line in held_back.lines(named=True):
            warn(f"calibrated on: {line}")
        # Apart: another calibration has its own.
        record["calibration_warnings"] = [f"calibrated on: {line}" for line in held_back.lines()]
    else:
        warn("no healthy rows in split 'val': the run has no thresholds; use `unlesion calibrate`")
    record["left_out"] = left_out + len(unusable)
    if unusable:
        # Unlike those left out for their masks, other files or another machine may make them usable.
        record |= {"failed": len(unusable), "failed_ours": unusable.ours}
    record["versions"] = {
        "unlesion": unlesion.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
    words = repeat_words(
        method=method,
        preset=preset,
        seed=seed,
        # The one that was chosen is named; a prepared store has its own.
        recipe=the_recipe.name if recipe is None and own_store else recipe,
        settings=chosen,
        steps=record["steps"],
        device=record["device"],
        image_size=image_size,
    )
    record["repeat"] = shlex.join([*source_words[1:], *words])
    record["command"] = command_line(source_words, words, out)
    record["total_minutes"] = round((time.monotonic() - began) / 60.0, 2)
    detector.record = record
    detector.save(out)
    if own_store:
        # A run is all that detection needs: the prepared copies can be made again from the recipe.
        del source, store
        shutil.rmtree(out / OWN_STORE, ignore_errors=True)
    return detector


def fit_scorers(
    detector: Detector,
    healthy: Cohort,
    *,
    executor: Executor | None = None,
    bars: Bars = silent,
    device: str = "cpu",
) -> None:
    """Let scorers that need it learn the healthy mean and SD of their maps, from training scans."""
    needing = [scorer for scorer in detector.scorers.values() if scorer.needs_fit]
    if not needing:
        return
    entries = sorted(healthy, key=lambda entry: seed_of(detector.seed, entry.key))[:NORMATIVE_SCANS]
    for scorer in needing:
        # One pass a scorer: evidence is made anew and let go, so that memory does not grow.
        with bars("normative", len(entries)) as advance:

            def evidence(advance: Any = advance) -> Iterator[ScanEvidence]:
                for swept in sweep(entries, detector.recipe, executor=executor):
                    if swept.prepared is not None and swept.prepared.roi.any():
                        yield detector.evidence(swept.prepared, device=device)
                    advance()

            scorer.fit(evidence())


def _learn(
    method: Method,
    network: torch.nn.Module,
    source: SliceSource,
    training: TrainingConfig,
    out: Path,
    seed: int,
    minutes: float | None,
    steps: str | int | None,
    resume: bool,
    device: str,
    bars: Bars,
) -> dict[str, Any]:
    """Closed-form fit or staged training; what to record about it."""
    stages = method.stages()
    began = time.monotonic()
    if not stages:
        with bars("fit", None):
            method.fit(network, lambda: (batch.to(device) for batch in source.once()))
        # Every run has the same files, whether there was anything to put into them or not.
        (out / "checkpoints").mkdir(parents=True, exist_ok=True)
        History(out / "history.csv", []).write()
        return {"steps": None, "minutes": None, "fit_seconds": round(time.monotonic() - began, 2)}
    from unlesion.training.fit import fit_stages

    fitted = fit_stages(
        network=network,
        stages=stages,
        source=source,
        config=training,
        run=out,
        seed=seed,
        minutes=minutes,
        steps=steps,
        resume=resume,
        device=device,
        bars=bars,
    )
    return {
        "steps": fitted.steps,
        "minutes": minutes,
        "fit_seconds": round(fitted.seconds, 2),
        "images_per_second": round(fitted.images_per_second, 2),
        "precision": fitted.precision,
    }
