"""`unlesion manifest`: what was understood of a folder, as a table to correct."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unlesion.cli.console import Console
from unlesion.cli.options import Quiet, Root, Where, open_cohort
from unlesion.errors import BadInput
from unlesion.wording import count


def command(
    cohort: Annotated[Path, typer.Argument(help="A folder of images, DICOM or BIDS, or a public dataset.")],
    out: Annotated[Path, typer.Option("--out", help="The file to write, such as manifest.csv.")],
    root: Root = None,
    where: Where = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
    quiet: Quiet = False,
) -> None:
    """Write what was understood of a folder as a manifest, to be corrected before anything learns from it."""
    if out.suffix.lower() != ".csv":
        inside = out / "manifest.csv" if not out.suffix else out.with_suffix(".csv")
        raise BadInput(f"--out {out}: a manifest is a file that ends on .csv; write {inside}")
    if out.exists() and not overwrite and out.resolve() != (cohort / "manifest.csv").resolve():
        raise BadInput(
            f"--out {out}: is there already, maybe corrected by hand; choose another or --overwrite"
        )
    from unlesion.prepare import is_store
    from unlesion.scans.cohort import MANIFEST
    from unlesion.scans.folder import WRITES_ONE

    if is_store(cohort):
        raise BadInput(
            f"{cohort}: a prepared store, which holds no files of scans; give what it was prepared from"
        )
    if (cohort / MANIFEST).is_file():
        raise BadInput(
            f"{cohort}: holds a {MANIFEST}, through which it is read; correct that one, or move it away to have a new one written"
        )
    console = Console(quiet=quiet)
    opened = open_cohort(cohort, root=root, where=where)
    for warning in opened.warnings:
        # What a manifest mends is being mended.
        if not warning.endswith(WRITES_ONE):
            console.warn(warning)
    from unlesion.scans.listing import write_listing
    from unlesion.scans.manifest import read_rows

    for said in write_listing(opened, out):
        console.warn(f"{said}: look at it")
    lies_apart = out.parent.resolve() != opened.root.resolve()
    _, rows = read_rows(out)
    people = len({row.get("subject") for row in rows})
    again = (
        f"; its paths are relative to another folder, so give it with --root {opened.root}"
        if lies_apart
        else ""
    )
    console.tell(
        f"{out}: {count(len(rows), 'image')} of {count(people, 'subject')}; correct it, and look with `unlesion doctor`{again}"
    )
