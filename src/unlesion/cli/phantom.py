"""`unlesion phantom`: a virtual cohort, or lesions implanted into healthy scans; with true healthy twins."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unlesion.cli.console import Console
from unlesion.cli.options import Jobs, Out, Quiet, Seed, Where, open_cohort, split_words, workers
from unlesion.errors import BadInput, UnlesionError


def command(
    out: Out,
    n: Annotated[
        int | None, typer.Option("--n", min=1, help="Number of virtual subjects; 100 if left out.")
    ] = None,
    modality: Annotated[
        str | None, typer.Option("--modality", help="T1, T2, FLAIR (if left out), PD; several by commas.")
    ] = None,
    on: Annotated[
        Path | None,
        typer.Option("--on", metavar="COHORT", help="Implant lesions into its healthy test and val scans."),
    ] = None,
    where: Where = None,
    pathologies: Annotated[
        str | None, typer.Option("--pathologies", metavar="A,B", help="With --on: which; all if left out.")
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option("--sizes", metavar="ML", help="With --on: ml, a range 0.5-20 or a list 0.1,1,10."),
    ] = None,
    per_scan: Annotated[
        int | None,
        typer.Option(
            "--per-scan",
            min=1,
            help="With --on: copies with a lesion of each; volumes: one a pathology, slices: 1.",
        ),
    ] = None,
    seed: Seed = 0,
    jobs: Jobs = 0,
    quiet: Quiet = False,
) -> None:
    """Make virtual brains, or lesions in real healthy scans, with masks and true healthy twins."""
    if on is None:
        _virtual(out, n or 100, modality or "FLAIR", where, pathologies, sizes, per_scan, seed, jobs, quiet)
        return
    if n is not None or modality is not None:
        raise BadInput("--n and --modality are for virtual cohorts; with --on choose scans by --where")
    from unlesion.phantom.implant import Sizes, write_implants

    chosen = Sizes.parse(sizes) if sizes else None
    cohort = open_cohort(on, where=where)
    console = Console(quiet=quiet, out=out)
    for warning in cohort.warnings:
        console.warn(warning)
    with workers(jobs) as executor:
        done = write_implants(
            cohort,
            out,
            seed=seed,
            pathologies=split_words(pathologies),
            sizes=chosen,
            per_scan=per_scan,
            executor=executor,
            bars=console.bars,
        )
    for warning in done.warnings:
        console.warn(warning)
    for failure in done.failures:
        console.warn(failure.message)
    console.tell(f"{done.manifest}: {done.healthy} healthy scans, {done.implanted} with an implanted lesion")
    if done.failures:
        message = f"{len(done.failures)} implants could not be made (named above); the rest is in {out}"
        if any(failure.ours for failure in done.failures):
            raise UnlesionError(f"{message}; some by a failure of ours: please report it with the log file")
        raise BadInput(message)


def _virtual(
    out: Path,
    n: int,
    modality: str,
    where: list[str] | None,
    pathologies: str | None,
    sizes: str | None,
    per_scan: int | None,
    seed: int,
    jobs: int,
    quiet: bool,
) -> None:
    from unlesion.phantom import write_cohort

    if where or pathologies or sizes or per_scan:
        raise BadInput(
            "--where, --pathologies, --sizes and --per-scan need --on COHORT, the scans to implant into"
        )
    console = Console(quiet=quiet, out=out)
    with workers(jobs) as executor:
        manifest = write_cohort(
            n, out, seed=seed, modality=split_words(modality), executor=executor, bars=console.bars
        )
    console.tell(f"{manifest}: {n} virtual subjects")
