"""`unlesion report`: make the page of an output folder again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unlesion.cli.options import Quiet


def command(
    folder: Annotated[Path, typer.Argument(help="Output of train, detect, evaluate, compare, bench.")],
    quiet: Quiet = False,
) -> None:
    """Write report.html from the files in a folder."""
    from unlesion.report import build_report

    page = build_report(folder)
    if not quiet:
        typer.echo(page)
