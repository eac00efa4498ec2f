"""`unlesion compare`: paired differences between evaluations of the same scans."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unlesion.cli.console import Console
from unlesion.cli.options import Quiet
from unlesion.errors import BadInput
from unlesion.wording import count

if TYPE_CHECKING:
    from unlesion.evaluation import Comparison, PairedDifference


def command(
    evaluations: Annotated[
        list[Path], typer.Argument(help="Two or more output folders of evaluate; of the same scans.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for compare.json, compare.csv and report.html.")
    ] = None,
    scoring: Annotated[
        str, typer.Option("--scoring", help="native: a method's own maps; shared: plain |scan - healthy|.")
    ] = "native",
    by: Annotated[
        str | None,
        typer.Option("--by", help="Compare within each group: pathology, size_band, modality, site, ..."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Compare every pair of evaluations, subject by subject: second minus first."""
    if scoring not in ("native", "shared"):
        raise BadInput(f"--scoring {scoring}: choose native or shared")
    from unlesion.evaluation import compare, names_of, write_comparison

    if out is not None and not (out / "compare.json").exists():
        theirs = [name for name in ("report.html", "compare.csv", "pictures") if (out / name).exists()]
        if theirs:
            raise BadInput(
                f"--out {out}: its {theirs[0]} is not of a comparison and would be replaced; choose another folder"
            )
    found = compare(evaluations, scoring=scoring, by=by)
    console = Console(quiet=quiet, out=out)
    if not quiet:
        _show(found, grouped=by is not None)
    if out is not None:
        from unlesion.report.compare_page import compare_files, keep_pictures, write_compare_page

        write_comparison(found, out)
        keep_pictures(list(zip(names_of(found), evaluations, strict=True)), out)
        page = write_compare_page(out / "report.html", **compare_files(out))
        console.tell(f"look at {page}")


def _show(found: list[Comparison], *, grouped: bool) -> None:
    for pair in found:
        which = "" if pair.group is None else f", {pair.group[0]} {pair.group[1]}"
        rests = count(pair.subjects, "subject")
        typer.echo(f"{pair.second} minus {pair.first}{which} ({pair.scoring} scoring, {rests})")
        for d in pair.differences:
            typer.echo("  " + _line(d))
    if grouped and len(found) > 1:
        typer.echo("p-values are not corrected for the number of groups: of many, some are small by chance.")
    typer.echo("For research use only; not a medical device.")


def _line(found: PairedDifference) -> str:
    if found.difference is None:
        if found.first is None or found.second is None:
            return f"{found.metric}: undefined ({found.why})"
        return f"{found.metric}: {found.first:.3f} -> {found.second:.3f}, not compared ({found.why})"
    words = f"{found.metric}: {found.first:.3f} -> {found.second:.3f}, difference {found.difference:+.3f}"
    words += "" if found.ci is None else f" [{found.ci[0]:+.3f}, {found.ci[1]:+.3f}]"
    return words + ("" if found.p_value is None else f", p = {found.p_value:.4f}")
