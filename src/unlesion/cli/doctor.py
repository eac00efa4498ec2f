"""`unlesion doctor`: what is wrong with a cohort, a run or a scan."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unlesion.cli.console import Console
from unlesion.cli.options import Channels, Jobs, Quiet, Root, Volume, Where, split_words, workers

if TYPE_CHECKING:
    from unlesion.doctor import Examined

NOTICE = "For research use only; not a medical device."

# Processes take longer to start than so many scans to look at.
FEW = 40


def command(
    what: Annotated[Path, typer.Argument(help="A cohort, a run or a scan, or the name of a public dataset.")],
    as_json: Annotated[bool, typer.Option("--json", help="For programs: a list of findings.")] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for doctor.json: findings and all trivial predictors."),
    ] = None,
    root: Root = None,
    where: Where = None,
    channels: Channels = None,
    volume: Volume = None,
    jobs: Jobs = 0,
    quiet: Quiet = False,
) -> None:
    """Look for what is wrong with a cohort, a run or a scan; exit code 2 if there is any error."""
    from unlesion.doctor import examine_cohort, examine_run

    console = Console(quiet=quiet, out=out)
    if root is None and _is_run(what):
        examined = examine_run(what)
    else:
        with workers(jobs if root is not None or _is_large(what) else 1) as executor:
            examined = examine_cohort(
                what,
                root=root,
                where=where or (),
                channels=split_words(channels),
                volume=volume,
                executor=executor,
                bars=console.bars,
            )
    name = str(what) if root is None else f"{what} in {root}"
    if out is not None:
        _write(examined, name, out)
    if as_json:
        typer.echo(json.dumps([finding.to_json() for finding in examined.findings], indent=2))
    else:
        _show(examined, name)
    if any(finding.level == "error" for finding in examined.findings):
        raise typer.Exit(2)


def _is_run(what: Path) -> bool:
    """A run, finished or not."""
    return any((what / name).is_file() for name in ("detector.json", "training.json"))


def _is_large(what: Path) -> bool:
    if what.is_file() and what.suffix.lower() != ".csv":
        return False
    manifest = what / "manifest.csv" if what.is_dir() else what
    if not manifest.is_file():
        return what.is_dir()
    with manifest.open("rb") as stream:
        return sum(1 for _ in stream) > FEW


def _write(examined: Examined, what: str, out: Path) -> None:
    from unlesion import __version__
    from unlesion.files import write_json

    write_json(
        out / "doctor.json",
        {
            "notice": NOTICE,
            "unlesion": __version__,
            "what": what,
            "scans": examined.scans,
            "findings": [finding.to_json() for finding in examined.findings],
            "confounds": [row.to_json() for row in examined.confounds],
        },
    )


def _show(examined: Examined, what: str) -> None:
    from rich.console import Console as Terminal

    from unlesion.doctor.table import WIDTH, show

    terminal = sys.stdout.isatty()
    show(examined, what, Terminal(file=sys.stdout, width=None if terminal else WIDTH, highlight=False))
