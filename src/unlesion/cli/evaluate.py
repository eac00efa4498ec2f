"""`unlesion evaluate`: how good are the maps of a run, or of anybody?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unlesion.cli.console import Console
from unlesion.cli.options import (
    Channels,
    Device,
    Jobs,
    NoSet,
    Out,
    Quiet,
    Root,
    Volume,
    Where,
    open_cohort,
    pick_device,
    refuse_settings,
    split_words,
    workers,
)
from unlesion.errors import BadInput
from unlesion.wording import count

if TYPE_CHECKING:
    from unlesion.calibration import Calibration
    from unlesion.detector import Detector
    from unlesion.scans import Cohort
    from unlesion.sweep import Failures

DEFAULT = "test"


def command(
    what: Annotated[
        Path, typer.Argument(metavar="RUN|MAPS", help="A run, or a folder of maps laid out as detect's.")
    ],
    cohort: Annotated[Path, typer.Argument(help="Scans with labels, and masks where there are lesions.")],
    out: Out,
    split: Annotated[
        str, typer.Option("--split", help="Splits to evaluate on, by commas, or 'all'.")
    ] = DEFAULT,
    root: Root = None,
    where: Where = None,
    channels: Channels = None,
    volume: Volume = None,
    set_: NoSet = None,
    device: Device = "auto",
    jobs: Jobs = 0,
    quiet: Quiet = False,
) -> None:
    """Measure maps against annotated lesions; writes metrics.json, scans.csv and report.html."""
    from unlesion.report import build_report

    refuse_settings(set_, verb="evaluate")
    opened = open_cohort(cohort, root=root, where=where, channels=channels, volume=volume)
    console = Console(quiet=quiet, out=out)
    for warning in opened.warnings:
        console.warn(warning)
    from unlesion.sweep import Failures
    from unlesion.training import cohort_options

    failures = Failures(console.warn)
    options = cohort_options(root=root, where=where, channels=channels, volume=volume)
    # Either file makes it a run; loading says what an unfinished one lacks.
    if any((what / name).exists() for name in ("detector.json", "training.json")):
        from unlesion.detector import Detector

        detector = Detector.load(what)
        detector.check_order(split_words(channels), what="--channels")
        chosen, split = _chosen(opened, split, console=console, trained_on=detector.record.get("cohort"))
        chosen = chosen.labelled()
        with workers(jobs if len(chosen) > 2 else 1) as executor:
            evaluate_into(
                detector,
                chosen,
                out,
                split=split,
                executor=executor,
                console=console,
                device=pick_device(device),
                failures=failures,
                opened=opened,
                options=[*options, "--device", pick_device(device)],
            )
        bad = len(failures)
    else:
        chosen, split = _chosen(opened, split, console=console)
        chosen = chosen.labelled()
        bad = _evaluate_maps(what, opened, chosen, out, split, console, options, failures)
    page = build_report(out)
    console.tell(f"{out / 'metrics.json'}: {count(len(chosen) - bad, 'scan')}; look at {page}")
    said = f"{bad} of {count(len(chosen), 'scan')} could not be evaluated (named above); the numbers are of the others"
    failures.settle(said)


def evaluate_into(
    detector: Detector,
    cohort: Cohort,
    out: Path,
    *,
    split: str = "test",
    executor: Executor | None,
    console: Console,
    device: str = "cpu",
    failures: Failures | None = None,
    opened: Cohort | None = None,
    options: Sequence[str] = (),
) -> int:
    """Evaluate a detector, collecting pictures on the way; how many scans could not be used."""
    from unlesion.cli.pictures import builder_for
    from unlesion.evaluating import evaluate_detector

    builder = builder_for(detector)
    _, bad = evaluate_detector(
        detector,
        cohort,
        out,
        split=split,
        executor=executor,
        bars=console.bars,
        device=device,
        warn=console.warn,
        on_scan=builder.look,
        failures=failures,
        opened=opened,
        options=options,
    )
    builder.finish().save(out / "gallery")
    return bad


def _chosen(opened: Cohort, split: str, *, console: Console, trained_on: object = None) -> tuple[Cohort, str]:
    """The scans to evaluate on, and which split they honestly are.

    Args:
        opened: the cohort.
        split: what was asked for.
        console: warned where thresholds or weights come from the same scans.
        trained_on: digest of the cohort that the run learnt from.
    """
    known = opened.is_of(trained_on)
    if split == "all":
        return opened, "all"
    if not any(entry.split for entry in opened):
        if not known:
            if split != DEFAULT:
                raise BadInput(f"--split {split}: {opened.name} has no column split; leave --split out")
            return opened, "all"
        # Split as in training, or the run would be measured on scans that it has learnt.
        opened = opened.with_splits()
        if split == DEFAULT:
            console.warn(
                f"{opened.name}: no column split, and the run learnt from it; evaluating the part 'val' that it "
                "did not learn from"
            )
            split = "val"
    chosen = opened.select(split=split_words(split))
    if len(chosen) == 0:
        there = sorted({entry.split or "(none)" for entry in opened})
        raise BadInput(f"--split {split}: no scans; there are {', '.join(there)}, or 'all'")
    return chosen, split


def _evaluate_maps(
    maps: Path,
    opened: Cohort,
    chosen: Cohort,
    out: Path,
    split: str,
    console: Console,
    options: Sequence[str],
    failures: Failures,
) -> int:
    from unlesion.cli.pictures import builder_on
    from unlesion.evaluating import evaluate_maps
    from unlesion.scoring import PostConfig

    builder = builder_on(None, PostConfig())

    def calibrated(calibrations: Mapping[str, Calibration]) -> None:
        nonlocal builder
        builder = builder_on(calibrations.get("native"), PostConfig())

    _, bad = evaluate_maps(
        maps,
        opened,
        chosen,
        out,
        split=split,
        bars=console.bars,
        warn=console.warn,
        on_calibrated=calibrated,
        on_scan=lambda scan, row: builder.look(scan, row),
        options=options,
        failures=failures,
    )
    builder.finish().save(out / "gallery")
    return bad
