"""`unlesion phantom`: a virtual cohort with true healthy twins."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unlesion.cli.console import Console
from unlesion.cli.options import Jobs, Out, Quiet, Seed, split_words, workers
from unlesion.errors import BadInput


def command(
    out: Out,
    n: Annotated[int, typer.Option("--n", min=1, help="Number of virtual subjects.")] = 100,
    modality: Annotated[
        str, typer.Option("--modality", help="T1, T2, FLAIR, PD; several by commas.")
    ] = "FLAIR",
    on: Annotated[
        Path | None, typer.Option("--on", help="Implant lesions into healthy scans (to come).")
    ] = None,
    seed: Seed = 0,
    jobs: Jobs = 0,
    quiet: Quiet = False,
) -> None:
    """Make virtual brains, healthy and with lesions, with masks and true healthy twins."""
    if on is not None:
        raise BadInput("--on: implanting into real scans is not built yet; leave it out for a virtual cohort")
    from unlesion.phantom import write_cohort

    console = Console(quiet=quiet, out=out)
    with workers(jobs) as executor:
        manifest = write_cohort(
            n, out, seed=seed, modality=split_words(modality), executor=executor, bars=console.bars
        )
    console.tell(f"{manifest}: {n} virtual subjects")
