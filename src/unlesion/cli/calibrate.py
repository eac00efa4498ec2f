"""`unlesion calibrate`: thresholds and p-values from one's own healthy scans."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from unlesion.cli.console import Console
from unlesion.cli.options import (
    Channels,
    Device,
    Jobs,
    Out,
    Quiet,
    Volume,
    Where,
    open_cohort,
    pick_device,
    workers,
)
from unlesion.errors import BadInput


def command(
    run: Annotated[Path, typer.Argument(help="A run of `unlesion train`.")],
    cohort: Annotated[Path, typer.Argument(help="Healthy scans of one's own site.")],
    out: Out,
    where: Where = None,
    channels: Channels = None,
    volume: Volume = None,
    device: Device = "auto",
    jobs: Jobs = 0,
    quiet: Quiet = False,
) -> None:
    """Calibrate a run on healthy scans of another site; every healthy scan given is used."""
    from unlesion.calibrating import calibrate_detector
    from unlesion.detector import Detector
    from unlesion.files import whole_folder

    detector = Detector.load(run)
    opened = open_cohort(cohort, where=where, channels=channels, volume=volume).select(label="healthy")
    if len(opened) == 0:
        raise BadInput(f"{cohort}: no healthy scans to calibrate on; check the column label and --where")
    if out.exists() and any(out.iterdir()):
        raise BadInput(f"{out}: not empty; choose another --out")
    console = Console(quiet=quiet)
    with workers(jobs) as executor:
        calibrations = calibrate_detector(
            detector,
            opened,
            executor=executor,
            bars=console.bars,
            device=pick_device(device),
            warn=console.warn,
        )
    calibrated = detector.with_calibration(calibrations)
    calibrated.record = {
        **detector.record,
        "calibrated_on": {"name": opened.name, "cohort": opened.digest, "subjects": len(opened.subjects)},
    }
    with whole_folder(out) as partial:
        calibrated.save(partial)
        if (run / "history.csv").exists():
            shutil.copyfile(run / "history.csv", partial / "history.csv")
    from unlesion.report import build_report

    page = build_report(out)
    console.tell(f"{out}: calibrated on {len(opened.subjects)} healthy subjects; look at {page}")
