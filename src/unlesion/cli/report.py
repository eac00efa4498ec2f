"""`unlesion report`: make the page of an output folder again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    folder: Annotated[Path, typer.Argument(help="Output of train, detect, evaluate, bench.")],
) -> None:
    """Write report.html from the files in a folder."""
    from unlesion.report import build_report

    typer.echo(build_report(folder))
