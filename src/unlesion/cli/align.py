"""`unlesion align`: the channels of each session on one grid."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unlesion.cli.console import Console
from unlesion.cli.options import Jobs, Out, Quiet, Root, Volume, Where, open_cohort, split_words, workers
from unlesion.errors import BadInput
from unlesion.wording import count


def command(
    cohort: Annotated[Path, typer.Argument(help="Manifest, folder, or name of a public dataset.")],
    channels: Annotated[
        str,
        typer.Option(
            "--channels", metavar="T1,FLAIR", help="Modalities to bring together; on the grid of the first."
        ),
    ],
    out: Out,
    register: Annotated[
        bool,
        typer.Option("--register", help="Move each rigidly onto the first, rather than trust headers alone."),
    ] = False,
    root: Root = None,
    where: Where = None,
    volume: Volume = None,
    jobs: Jobs = 0,
    quiet: Quiet = False,
) -> None:
    """Write the channels of each session on one grid, for --channels; a second call goes on where the first stopped."""
    from unlesion.prepare import is_store
    from unlesion.prepare.sessions import PAGE, claim, sessions_beside, write_sessions
    from unlesion.report.aligned_page import write_aligned_page
    from unlesion.scans.cohort import MANIFEST
    from unlesion.sweep import Failures

    if len(split_words(channels)) < 2:
        raise BadInput(f"--channels {channels}: name two modalities or more")
    if is_store(cohort):
        raise BadInput(
            f"{cohort}: a prepared store, whose scans lie on one grid; give what it was prepared from"
        )
    opened = open_cohort(cohort, root=root, where=where, channels=channels, volume=volume)
    # A manifest has no word for what nobody knows.
    opened = opened.labelled()
    is_listed = cohort.suffix.lower() == ".csv" or (cohort / MANIFEST).is_file()
    claim(out, opened, among=not is_listed)
    console = Console(quiet=quiet, out=out)
    for warning in opened.warnings:
        console.warn(warning)
    with workers(jobs) as executor, console.bars("align", len(opened)) as advance:
        sessions, bad = write_sessions(
            opened, out, register=register, executor=executor, done=lambda key: advance(note=key)
        )
    if others := sessions_beside(out, [entry.key for entry in opened]):
        console.warn(
            f"{out}: holds {count(len(others), 'more session')}, the first {others[0]}, which this call did not ask for: not in its manifest"
        )
    failures = Failures(console.warn)
    failures.take_all(bad)
    for session in sessions:
        for warning in session.warnings:
            console.warn(f"{session.key}: {warning}")
    if sessions:
        page = write_aligned_page(out / PAGE, sessions, registered=register)
        console.tell(
            f"{out / MANIFEST}: {count(len(sessions), 'scan')}; look at {page}, then go on with `--channels {channels}`"
        )
    rest = f"; the rest is in {out}" if sessions else ""
    failures.settle(
        f"{len(failures)} of {count(len(opened), 'scan')} could not be aligned (named above){rest}"
    )
