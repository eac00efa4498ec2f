"""`unlesion compare`: paired differences between evaluations of the same scans."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unlesion.errors import BadInput


def command(
    evaluations: Annotated[list[Path], typer.Argument(help="Two or more output folders of evaluate; the first is the reference.")],
    out: Annotated[Path | None, typer.Option("--out", help="Folder for compare.json.")] = None,
) -> None:
    """Compare evaluations with the first one, subject by subject."""
    from unlesion.evaluation import compare, write_comparison

    if len(evaluations) < 2:
        raise BadInput("compare needs at least two evaluations; the first one is the reference")
    found = compare(evaluations)
    for line in found.lines():
        typer.echo(line)
    if out is not None:
        write_comparison(out, found)
