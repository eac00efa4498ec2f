"""`unlesion methods`: what there is."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def command(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List the methods, with citation and sizes."""
    from unlesion.methods.registry import describe, method_names

    described = [describe(name) for name in method_names()]
    if as_json:
        typer.echo(json.dumps(described, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("method", "family", "parameters (tiny / cpu / gpu / paper)", "what it is", "citation")
    for row in described:
        sizes = " / ".join(f"{preset['parameters']:,}" for preset in row["presets"].values())
        table.add_row(row["name"], row["family"], sizes, row["title"], row["citation"])
    Console().print(table)
    typer.echo("For research use only; not a medical device.")
