"""`unlesion compare`: paired differences between evaluations of the same scans."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from unlesion.evaluation import PairedDifference


def command(
    evaluations: Annotated[
        list[Path], typer.Argument(help="Two or more output folders of evaluate; of the same scans.")
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Folder for compare.json.")] = None,
) -> None:
    """Compare every pair of evaluations, subject by subject: second minus first."""
    from unlesion.evaluation import compare, write_comparison

    for pair in (found := compare(evaluations)):
        typer.echo(f"{pair.second} minus {pair.first} ({pair.scoring} scoring, {pair.subjects} subjects)")
        for d in pair.differences:
            typer.echo("  " + _line(d))
    typer.echo("For research use only; not a medical device.")
    if out is not None:
        write_comparison(found, out)


def _line(found: PairedDifference) -> str:
    if found.difference is None:
        return f"{found.metric}: undefined ({found.why})"
    words = f"{found.metric}: {found.first:.3f} -> {found.second:.3f}, difference {found.difference:+.3f}"
    words += "" if found.ci is None else f" [{found.ci[0]:+.3f}, {found.ci[1]:+.3f}]"
    return words + ("" if found.p_value is None else f", p = {found.p_value:.4f}")
