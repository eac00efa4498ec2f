"""`unlesion methods`: what there is."""

from __future__ import annotations

import json
import textwrap
from typing import Annotated

import typer

WIDTH, MARGIN = 100, "    "


def command(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List the methods, with citation and sizes."""
    from unlesion.methods.registry import PRESETS, describe, method_names

    described = [describe(name) for name in method_names()]
    if as_json:
        typer.echo(json.dumps(described, indent=2))
        return
    for row in described:
        sizes = " / ".join(f"{preset['parameters']:,}" for preset in row["presets"].values())
        typer.echo(f"{row['name']} ({row['family']}): {row['title']}")
        typer.echo(f"{MARGIN}{sizes} parameters")
        typer.echo(textwrap.fill(row["citation"], WIDTH, initial_indent=MARGIN, subsequent_indent=MARGIN))
    typer.echo(
        f"\nParameters of the presets {' / '.join(PRESETS)}. For research use only; not a medical device."
    )
