"""`unlesion calibrate`: thresholds and p-values from one's own healthy scans."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unlesion.cli.console import LOG, Console
from unlesion.cli.options import (
    Channels,
    Device,
    Jobs,
    Out,
    Quiet,
    Root,
    Set,
    Volume,
    Where,
    open_cohort,
    pick_device,
    split_words,
    workers,
)
from unlesion.errors import BadInput
from unlesion.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from unlesion.calibration import Calibration
    from unlesion.scans import Cohort


def command(
    run: Annotated[Path, typer.Argument(help="A run of `unlesion train`.")],
    cohort: Annotated[Path, typer.Argument(help="Healthy scans of one's own site.")],
    out: Out,
    root: Root = None,
    where: Where = None,
    channels: Channels = None,
    volume: Volume = None,
    set_: Set = None,
    device: Device = "auto",
    jobs: Jobs = 0,
    quiet: Quiet = False,
) -> None:
    """Calibrate a run on healthy scans of another site; every healthy scan given is used."""
    from unlesion.calibrating import calibrate_detector, with_method, with_scoring
    from unlesion.calibration.met import as_recorded
    from unlesion.detector import Detector
    from unlesion.files import whole_folder
    from unlesion.prepare import Noticed
    from unlesion.scans.prints import prints_of
    from unlesion.settings import parse_settings
    from unlesion.sweep import Failures
    from unlesion.training import cohort_options
    from unlesion.training.choosing import taken_for_healthy

    settings = parse_settings(set_ or [])
    idle = [room for room in settings if room not in ("method", "scoring") and settings[room]]
    if idle:
        raise BadInput(
            f"--set {idle[0]}.…: calibrate takes settings of scoring and of detection only; for others train again"
        )
    detector = Detector.load(run)
    detector.check_order(split_words(channels), what="--channels")
    before = detector.calibrations.get("native")
    if settings["scoring"]:
        detector = with_scoring(detector, settings["scoring"])
    if settings["method"]:
        # A scoring that needs no training scans any more asks for none.
        detector = with_method(detector, settings["method"])
    scan = detector.scorers["native"].config.scan
    if scan != "map" and not detector.method.codes_distribution:
        raise BadInput(
            f"scoring.scan={scan}: {detector.method.name} gives no distribution of codes; use scoring.scan=map"
        )
    opened = open_cohort(cohort, root=root, where=where, channels=channels, volume=volume).select(
        label="healthy"
    )
    if len(opened) == 0:
        raise BadInput(f"{cohort}: no healthy scans to calibrate on; check the column label and --where")
    # A log alone is what an earlier call left that came to nothing.
    if out.is_dir() and any(path.name != LOG for path in out.iterdir()):
        raise BadInput(f"{out}: not empty; choose another --out")
    console = Console(quiet=quiet, out=out)
    for warning in [*opened.warnings, *filter(None, [taken_for_healthy(opened)])]:
        console.warn(warning)
    failures, noticed = Failures(console.warn), Noticed()
    with workers(jobs) as executor:
        calibrations = calibrate_detector(
            detector,
            opened,
            executor=executor,
            bars=console.bars,
            device=pick_device(device),
            failures=failures,
            noticed=noticed,
        )
    prints = prints_of(opened)
    doubts = [
        *_lost_and_new(before, calibrations["native"]),
        *_learnt_again(opened, prints, detector.record),
    ]
    for words in [*doubts, *noticed.lines(named=True)]:
        console.warn(words)
    # The run is handed on: it names nobody.
    doubts += noticed.lines()
    used = calibrations["native"].n_subjects
    # Settings of an earlier calibration hold on.
    said = {**detector.record.get("calibrated_on", {}).get("settings", {}), **_by_name(set_ or [])}
    options = cohort_options(root=root, where=where, channels=channels, volume=volume)
    options += [word for name, value in said.items() for word in ("--set", f"{name}={value}")]
    calibrated = detector.with_calibration(calibrations)
    met = {**detector.record.get("met", {}), "calibrated": as_recorded(prints)}
    learnt = {name: value for name, value in detector.record.items() if name != "calibration_warnings"}
    calibrated.record = {
        **learnt,
        "met": met,
        "calibrated_on": {
            "name": opened.name,
            "cohort": opened.digest,
            "subjects": used,
            "settings": said,
            "repeat": shlex.join([*options, "--device", pick_device(device)]),
            # Whoever looks at the run later was not there when they were said.
            **({"warnings": doubts} if doubts else {}),
        },
    }
    with whole_folder(out) as partial:
        calibrated.save(partial)
        if (run / "history.csv").exists():
            shutil.copyfile(run / "history.csv", partial / "history.csv")
        # The log that is being written moves along.
        os.replace(out / LOG, partial / LOG)
    from unlesion.report import build_report

    page = build_report(out)
    console.tell(f"{out}: calibrated on {count(used, 'healthy subject')}; look at {page}")
    failures.settle(
        f"{len(failures)} of {count(len(opened), 'scan')} could not be used (named above); {out} rests on the others"
    )


def _by_name(settings: list[str]) -> dict[str, str]:
    """What `--set` says, by name; the last word counts."""
    pairs = (words.partition("=") for words in settings)
    return {name.strip(): value for name, _, value in pairs}


def _lost_and_new(before: Calibration | None, after: Calibration) -> Iterator[str]:
    """What to say of modalities that only one of two calibrations knows."""
    from unlesion.modality import foreign

    if before is None:
        return
    lost, new = foreign(before.modalities, after.modalities), foreign(after.modalities, before.modalities)
    if new:
        yield f"{', '.join(new)}: the run was not calibrated on this before; is it what it was trained on?"
    if lost:
        yield f"{', '.join(lost)}: not calibrated any more, because no healthy scan of it was given; its scans will be warned of"


def _learnt_again(cohort: Cohort, prints: Mapping[str, str], record: Mapping[str, Any]) -> Iterator[str]:
    """What to say of scans to calibrate on that the run has learnt from."""
    from unlesion.calibration.met import recorded_prints

    if known := recorded_prints(record, "learnt"):
        again, where = (
            sum(found in known for found in prints.values()),
            "among those that the run learnt from",
        )
    else:
        # Nobody says which scans the run met: the split is the best guess.
        again, where = sum(entry.split == "train" for entry in cohort), "of split 'train'"
    if again:
        yield (
            f"{again} of {count(len(cohort), 'scan')} are {where}: what a run has learnt from looks more usual than it is; "
            "calibrate on others (--where split=val)"
        )
