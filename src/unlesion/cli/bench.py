"""`unlesion bench`: methods x cohorts x seeds at equal budgets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unlesion.cli.console import LOG, Console, command_line
from unlesion.cli.options import Device, Jobs, Out, Quiet, Set, pick_device, split_words, workers
from unlesion.errors import BadInput, UnlesionError
from unlesion.wording import count


def command(
    spec: Annotated[Path, typer.Argument(help="YAML: methods, cohorts, seeds, minutes or steps.")],
    out: Out,
    resume: Annotated[bool, typer.Option("--resume", help="Go on in a folder that is begun.")] = False,
    results: Annotated[
        Path | None, typer.Option("--results", help="Folder of kept rows, which are reused and added to.")
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option("--methods", metavar="A,B", help="Measure these alone, by their labels; later others."),
    ] = None,
    cohorts: Annotated[
        str | None, typer.Option("--cohorts", metavar="A,B", help="Measure on these alone; later on others.")
    ] = None,
    set_: Set = None,
    device: Device = "auto",
    jobs: Jobs = 0,
    quiet: Quiet = False,
) -> None:
    """Measure methods against each other; writes leaderboard.csv, leaderboard.md and report.html."""
    from unlesion.benchmark import Bench, KnownResults, read_spec

    grid = read_spec(spec)
    for option, given in (("--methods", methods), ("--cohorts", cohorts)):
        if given is not None and not split_words(given):
            raise BadInput(f"{option} {given!r}: names none; leave it out for all")
    part = grid.part_of(methods=split_words(methods), cohorts=split_words(cohorts))
    # For all methods, as the file's own; a cohort's and a method's go before.
    grid = grid.model_copy(update={"set": (*grid.set, *(set_ or ()))})
    if (out / "leaderboard.csv").exists() and not resume:
        raise BadInput(f"{out}: holds a benchmark already; go on with --resume or choose another --out")
    there = {path.name for path in out.iterdir() if path.name[0] != "."} if out.is_dir() else set()
    if there - {LOG} and not there & {"leaderboard.csv", "runs", "stores"}:
        raise BadInput(f"{out}: holds other files ({', '.join(sorted(there)[:3])}); choose another --out")
    console = Console(quiet=quiet, out=out)
    with workers(jobs) as executor:
        rows = Bench(
            grid,
            folder=spec.parent,
            out=out,
            known=KnownResults(results),
            executor=executor,
            bars=console.bars,
            device=pick_device(device),
            tell=console.tell,
            warn=console.warn,
            command=command_line(),
            part=part,
        ).run()
    from unlesion.report import build_report

    page = build_report(out)
    console.tell(f"{out / 'leaderboard.md'}: {count(len(rows), 'row')}; look at {page}")
    failed = [row for row in rows if row["status"] != "done"]
    if failed:
        # A failure of ours weighs more than input that cannot be used.
        worst = min(failed, key=lambda row: int(row["exit_code"]))
        message = f"{len(failed)} of {count(len(rows), 'row')} failed: {worst['method']}: {worst['problem']}"
        raise (UnlesionError if worst["exit_code"] == UnlesionError.exit_code else BadInput)(message)
    short = [row for row in rows if row.get("left_out")]
    if short:
        ours = any(row.get("left_out_ours") for row in short)
        raise (UnlesionError if ours else BadInput)(
            f"{count(len(short), 'row')} of {len(rows)} left out scans that could not be used (named above): "
            "mend or exclude them, then go on with --resume"
        )
