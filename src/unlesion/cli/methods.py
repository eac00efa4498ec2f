"""`unlesion methods`: what there is."""

from __future__ import annotations

import json
import textwrap
from typing import Annotated

import typer

from unlesion.errors import BadInput

WIDTH, MARGIN = 100, "    "


def command(
    name: Annotated[
        str | None, typer.Argument(help="One method, with all its presets; all if left out.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List the methods, with citation and sizes."""
    from unlesion.methods.registry import PRESETS, describe, is_ours, method_names

    described = []
    for one in method_names() if name is None else [name]:
        try:
            described.append(describe(one))
        except Exception as error:
            # A broken package of somebody else hides none of the others.
            if name is not None or is_ours(one):
                raise
            said = (
                error if isinstance(error, BadInput) else f"method {one!r}: {type(error).__name__}: {error}"
            )
            typer.echo(f"warning: {said}", err=True)
    if as_json:
        typer.echo(json.dumps(described, indent=2))
        return
    for row in described:
        sizes = " / ".join(f"{preset['parameters']:,}" for preset in row["presets"].values())
        typer.echo(f"{row['name']} ({row['family']}): {row['title']}")
        if name is None:
            typer.echo(f"{MARGIN}{sizes} parameters")
        typer.echo(textwrap.fill(row["citation"], WIDTH, initial_indent=MARGIN, subsequent_indent=MARGIN))
    if name is not None:
        for preset, size in described[0]["presets"].items():
            typer.echo(
                f"{MARGIN}{preset}: {size['image_size']} pixels, batches of {size['batch']}, {size['parameters']:,} parameters "
                f"({', '.join(f'{part} {number:,}' for part, number in size['parts'].items())})"
            )
        typer.echo("\nFor research use only; not a medical device.")
        return
    typer.echo(
        f"\nParameters of the presets {' / '.join(PRESETS)}. For research use only; not a medical device."
    )
