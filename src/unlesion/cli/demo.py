"""`unlesion demo`: from nothing to a report, on virtual brains."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unlesion.cli.console import Console
from unlesion.cli.options import Device, Jobs, Quiet, Seed, Set, pick_device, workers
from unlesion.errors import BadInput
from unlesion.wording import count

if TYPE_CHECKING:
    from unlesion.scans import Cohort

SUBJECTS = 96
# After minutes of training even healthy ventricles are drawn badly: what differs as much in healthy scans says nothing.
SCORING = {"standardise": True}


def command(
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")] = Path("demo"),
    method: Annotated[str, typer.Option("--method", help="See `unlesion methods`.")] = "dae",
    minutes: Annotated[float, typer.Option("--minutes", help="Budget of training.")] = 4.0,
    n: Annotated[int, typer.Option("--n", min=12, help="Number of virtual subjects.")] = SUBJECTS,
    preset: Annotated[str, typer.Option("--preset", help="tiny, cpu, gpu or paper.")] = "cpu",
    seed: Seed = 0,
    set_: Set = None,
    device: Device = "auto",
    jobs: Jobs = 0,
    quiet: Quiet = False,
) -> None:
    """Virtual cohort, train, detect, evaluate, report: one command, nothing downloaded."""
    from unlesion.methods.registry import get_method, preset_settings
    from unlesion.settings import parse_settings

    settings = parse_settings(set_ or [])
    settings["scoring"] = {**SCORING, **settings["scoring"]}
    preset_settings(get_method(method), preset)
    if minutes <= 0:
        raise BadInput(f"--minutes {minutes}: give a number above 0")
    chosen_device = pick_device(device)
    if (out / "report.html").exists():
        raise BadInput(f"{out}: holds a demo already; remove it or choose another --out")
    console = Console(quiet=quiet, out=out)
    from unlesion.cli import detect
    from unlesion.cli.evaluate import evaluate_into
    from unlesion.detector import Detector
    from unlesion.phantom import write_cohort
    from unlesion.report import build_report
    from unlesion.scans import Cohort
    from unlesion.training import train

    with workers(jobs) as executor:
        console.tell(f"1/4  a virtual cohort of {count(n, 'brain')}")
        manifest = write_cohort(n, out / "cohort", seed=seed, executor=executor, bars=console.bars)
        cohort = Cohort.open(manifest)
        console.tell(f"2/4  {method} learns from the healthy ones, {count(minutes, 'minute')}")
        run = out / "run"
        # Of one that is finished nothing is done again; other settings than it had are refused.
        train(
            cohort,
            method=method,
            out=run,
            preset=preset,
            minutes=minutes,
            seed=seed,
            settings=settings,
            resume=True,
            executor=executor,
            bars=console.bars,
            device=chosen_device,
            tell=console.tell,
            source_words=[str(manifest)],
        )
        build_report(run)
        test = cohort.select(split="test")
        few = ",".join(shown(test))
        console.tell(f"3/4  maps, masks and previews of a few test scans in {out / 'found'}")
        detect.command(
            run,
            [manifest],
            out=out / "found",
            where=[f"subject={few}"],
            device=chosen_device,
            jobs=1,
            quiet=quiet,
        )
        # Detection has a log of its own.
        console = Console(quiet=quiet, out=out)
        console.tell("4/4  measuring on all test scans")
        evaluate_into(
            Detector.load(run),
            test,
            out,
            executor=executor,
            console=console,
            device=chosen_device,
        )
    page = build_report(out)
    console.tell(f"open {page} · the run is in {run} · for research use only, not a medical device")


def shown(test: Cohort) -> list[str]:
    """Subjects to show: the first healthy one, and the first with each pathology."""
    firsts: dict[str, str] = {}
    for entry in test:
        firsts.setdefault("" if entry.label == "healthy" else entry.pathology, entry.subject)
    return list(dict.fromkeys(firsts.values()))
