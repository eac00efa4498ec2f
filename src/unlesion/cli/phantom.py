"""`unlesion phantom`: a virtual cohort, or lesions implanted into healthy scans; with true healthy twins."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unlesion.cli.console import Console
from unlesion.cli.options import Jobs, Out, Quiet, Root, Seed, Where, open_cohort, split_words, workers
from unlesion.errors import BadInput, UnlesionError
from unlesion.wording import count

if TYPE_CHECKING:
    from unlesion.phantom.implant import Sizes


def command(
    out: Out,
    n: Annotated[
        int | None, typer.Option("--n", min=1, help="Number of virtual subjects; 100 if left out.")
    ] = None,
    modality: Annotated[
        str | None,
        typer.Option("--modality", help="T1, T2, FLAIR, PD; several by commas. FLAIR, or all with --grid."),
    ] = None,
    grid: Annotated[
        bool, typer.Option("--grid", help="Every virtual subject on four scanners, in every modality.")
    ] = False,
    scanners: Annotated[
        str | None,
        typer.Option(
            "--scanners", help="With --grid, which: 3T, 1.5T, 1.5T-thick, 3T-motion; several by commas."
        ),
    ] = None,
    on: Annotated[
        Path | None,
        typer.Option(
            "--on", metavar="COHORT", help="Implant lesions into healthy test and val scans of a cohort."
        ),
    ] = None,
    root: Root = None,
    where: Where = None,
    pathologies: Annotated[
        str | None,
        typer.Option(
            "--pathologies", metavar="A,B", help="Which, or all; four of them, with --on all, if left out."
        ),
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option("--sizes", metavar="ML", help="Volumes in ml: a range 0.5-20 or a list 0.1,1,10."),
    ] = None,
    per_scan: Annotated[
        int | None,
        typer.Option(
            "--per-scan",
            min=1,
            help="With --on: lesions for each scan, one a copy; a volume gets each pathology once, a slice 1.",
        ),
    ] = None,
    seed: Seed = 0,
    jobs: Jobs = 0,
    quiet: Quiet = False,
) -> None:
    """Make virtual brains, or lesions in real healthy scans, with masks and true healthy twins."""
    from unlesion.phantom.implant import Sizes

    names = split_words(pathologies)
    chosen = Sizes.parse(sizes) if sizes else None
    if on is None:
        if where or per_scan or root:
            raise BadInput("--where, --root and --per-scan need --on COHORT, the scans to implant into")
        on_grid = _scanners(grid, split_words(scanners))
        _virtual(out, n or 100, split_words(modality), on_grid, names, chosen, seed, jobs, quiet)
        return
    if n is not None or modality is not None or grid or scanners:
        raise BadInput(
            "--n, --modality, --grid and --scanners are for virtual cohorts; with --on choose scans by --where"
        )
    _implant(on, root, out, where, names, chosen, per_scan, seed, jobs, quiet)


def _scanners(grid: bool, named: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the grid, none if there is to be no grid."""
    from unlesion.phantom import SCANNERS

    if named and not grid:
        raise BadInput("--scanners needs --grid, the same people on each of them")
    return (named or tuple(SCANNERS)) if grid else ()


def _virtual(
    out: Path,
    n: int,
    modalities: tuple[str, ...],
    scanners: tuple[str, ...],
    names: tuple[str, ...],
    sizes: Sizes | None,
    seed: int,
    jobs: int,
    quiet: bool,
) -> None:
    from unlesion.phantom import MODALITIES, write_cohort, write_grid

    console = Console(quiet=quiet, out=out)
    write = partial(write_grid, scanners=scanners) if scanners else write_cohort
    with workers(jobs) as executor:
        manifest = write(
            n,
            out,
            seed=seed,
            modality=modalities or (MODALITIES if scanners else ("FLAIR",)),
            pathologies=names or None,
            sizes=sizes,
            executor=executor,
            bars=console.bars,
        )
    images = f", each on {count(len(scanners), 'scanner')}" if scanners else ""
    console.tell(f"{manifest}: {count(n, 'virtual subject')}{images}")


def _implant(
    on: Path,
    root: Path | None,
    out: Path,
    where: list[str] | None,
    names: tuple[str, ...],
    sizes: Sizes | None,
    per_scan: int | None,
    seed: int,
    jobs: int,
    quiet: bool,
) -> None:
    from unlesion.phantom.implant import write_implants

    cohort = open_cohort(on, root=root, where=where)
    console = Console(quiet=quiet, out=out)
    for warning in cohort.warnings:
        console.warn(warning)
    with workers(jobs) as executor:
        done = write_implants(
            cohort,
            out,
            seed=seed,
            pathologies=names or ("all",),
            sizes=sizes,
            per_scan=per_scan,
            executor=executor,
            bars=console.bars,
        )
    for warning in done.warnings:
        console.warn(warning)
    for failure in done.failures:
        console.warn(failure.message)
    console.tell(
        f"{done.manifest}: {count(done.healthy, 'healthy scan')}, {done.implanted} with an implanted lesion"
    )
    if done.failures:
        message = (
            f"{count(len(done.failures), 'implant')} could not be made (named above); the rest is in {out}"
        )
        if any(failure.ours for failure in done.failures):
            raise UnlesionError(f"{message}; some by a failure of ours: please report it with the log file")
        raise BadInput(message)
