"""`unlesion prepare`: raw scans to comparable, cached ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unlesion.cli.console import Console
from unlesion.cli.options import Channels, Jobs, Out, Quiet, Root, Set, Volume, Where, open_cohort, workers
from unlesion.errors import BadInput
from unlesion.progress import counted
from unlesion.wording import count


def command(
    cohort: Annotated[Path, typer.Argument(help="Manifest, folder, image, or name of a public dataset.")],
    out: Out,
    recipe: Annotated[str | None, typer.Option("--recipe", help="Name or file; chosen if left out.")] = None,
    root: Root = None,
    where: Where = None,
    channels: Channels = None,
    volume: Volume = None,
    set_: Set = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a store of another recipe or of other scans.")
    ] = False,
    jobs: Jobs = 0,
    quiet: Quiet = False,
) -> None:
    """Prepare scans once, for many trainings. A second call goes on where the first stopped."""
    from unlesion.prepare import Noticed, choose_recipe, load_recipe, prepare_cohort, refuse_other_store
    from unlesion.settings import parse_settings
    from unlesion.sweep import Failures

    settings = parse_settings(set_ or [])
    idle = [room for room in settings if room != "recipe" and settings[room]]
    if idle:
        raise BadInput(f"--set {idle[0]}.…: prepare takes recipe settings only")
    opened = open_cohort(cohort, root=root, where=where, channels=channels, volume=volume).with_splits()
    chosen = load_recipe(recipe or choose_recipe(opened).name, settings["recipe"])
    if not overwrite:
        refuse_other_store(out, opened, chosen)
    console = Console(quiet=quiet, out=out)
    for warning in opened.warnings:
        console.warn(warning)
    console.tell(f"recipe {chosen.name!r} ({chosen.digest}), {count(len(opened), 'scan')}")
    with workers(jobs) as executor, counted(console.bars, "prepare") as progress:
        store, bad = prepare_cohort(opened, chosen, out, executor=executor, progress=progress)
    failures, noticed = Failures(console.warn), Noticed()
    failures.take_all(bad)
    for row in store.scans:
        noticed.add(row["key"], row["warnings"])
    for line in noticed.lines(named=True):
        console.warn(line)
    from unlesion.report import write_prepared_page

    page = write_prepared_page(out / "report.html", store, opened, noticed.lines())
    console.tell(
        f"{out}: {count(len(store.scans), 'scan')}, {count(len(store.positions), 'slice')}; look at {page} before anything learns from them"
    )
    failures.settle(
        f"{len(failures)} of {count(len(opened), 'scan')} could not be prepared (named above); the rest is in {out}"
    )
