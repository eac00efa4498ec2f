"""`unlesion train`: from healthy scans to a calibrated detector."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unlesion.cli.console import Console
from unlesion.cli.options import (
    Channels,
    Device,
    Jobs,
    Out,
    Quiet,
    Root,
    Seed,
    Set,
    Volume,
    Where,
    open_cohort,
    pick_device,
    workers,
)
from unlesion.wording import count

if TYPE_CHECKING:
    from unlesion.prepare import PreparedStore


def command(
    cohort: Annotated[
        Path, typer.Argument(help="Manifest, folder, prepared store, or name of a public dataset.")
    ],
    out: Out,
    method: Annotated[str, typer.Option("--method", help="See `unlesion methods`.")],
    recipe: Annotated[str | None, typer.Option("--recipe", help="Name or file; chosen if left out.")] = None,
    preset: Annotated[str, typer.Option("--preset", help="tiny, cpu, gpu or paper.")] = "cpu",
    minutes: Annotated[
        float | None, typer.Option("--minutes", help="Budget of all stages; 5 by default.")
    ] = None,
    steps: Annotated[
        str | None, typer.Option("--steps", help="Instead: a total, or STAGE=N,STAGE=N.")
    ] = None,
    seed: Seed = 0,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            help="A finished run of the same training: take what it learnt; scoring and detection may differ.",
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    root: Root = None,
    where: Where = None,
    channels: Channels = None,
    volume: Volume = None,
    set_: Set = None,
    device: Device = "auto",
    jobs: Jobs = 0,
    quiet: Quiet = False,
) -> None:
    """Learn what is healthy from the healthy scans of a cohort, and calibrate."""
    from unlesion.errors import BadInput
    from unlesion.methods.registry import get_method, preset_settings
    from unlesion.settings import parse_settings

    settings = parse_settings(set_ or [])
    preset_settings(get_method(method), preset)
    if minutes is not None and minutes <= 0:
        raise BadInput(f"--minutes {minutes}: give a number above 0")
    opened = open_cohort(cohort, root=root, where=where, channels=channels, volume=volume)
    console = Console(quiet=quiet, out=out)
    for warning in opened.warnings:
        console.warn(warning)

    from unlesion.sweep import Failures
    from unlesion.training import cohort_options, is_finished, train

    failures = Failures(console.warn)

    nothing_to_do = resume and is_finished(out) and (out / "report.html").exists()
    with workers(jobs) as executor:
        detector = train(
            opened,
            method=method,
            out=out,
            recipe=recipe,
            preset=preset,
            minutes=minutes,
            steps=steps,
            seed=seed,
            settings=settings,
            resume=resume,
            store=stored(cohort) if root is None else None,
            executor=executor,
            bars=console.bars,
            device=pick_device(device),
            tell=console.tell,
            warn=console.warn,
            weights=weights,
            failures=failures,
            source_words=[
                str(cohort),
                *cohort_options(root=root, where=where, channels=channels, volume=volume),
            ],
        )
    if nothing_to_do:
        return
    from unlesion.cli.pictures import save_healthy_gallery
    from unlesion.report import build_report

    held_out = opened.with_splits().select(split="val", label="healthy")
    save_healthy_gallery(detector, held_out, out, device=pick_device(device))
    page = build_report(out)
    console.tell(f"{out}: trained in {count(detector.record['total_minutes'], 'minute')}; look at {page}")
    left_out = detector.record["left_out"]
    if left_out:
        said = f"{count(left_out, 'scan')} could not be used (named above); {out} rests on the others"
        failures.settle(said)
        raise BadInput(said)


def stored(source: Path) -> PreparedStore | None:
    """The prepared store behind a cohort, if it is one."""
    from unlesion.prepare import PreparedStore, is_store

    return PreparedStore.open(source) if is_store(source) else None
