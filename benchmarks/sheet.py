"""The same scans through every run, on one sheet: a row a run, a column a scan.

    python benchmarks/sheet.py work/implants/oasis/manifest.csv maps.png work/implants/bench/runs/implants_oasis/*-seed0
    python benchmarks/sheet.py --healthy work/implants/oasis/manifest.csv healthy.png RUN [RUN ...]
    python benchmarks/sheet.py --both --scans 6 MANIFEST page.png RUN [RUN ...] [--where COLUMN=A,B]

Shown are anomaly maps, `--healthy` the pseudo-healthy images, `--both` one beside the other. Of each pathology in split
test the scan with the median lesion is taken, or `--scans` so many, evenly from small lesions to large, at the slice
with most lesion. `unlesion bench` puts six such scans through all of its methods by itself, on its page. Maps are on the fixed scale of each run: orange begins at the threshold that 1 % of healthy voxels
exceed. For research use only; not a medical device.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

from unlesion.benchmark.same_scans import show_scans, small_to_large
from unlesion.detector import Detector
from unlesion.errors import BadInput
from unlesion.report.tiles import contour_tile, font, grey_tile, map_tile, tile_size
from unlesion.scans import Cohort, Entry

Show = Literal["maps", "healthy", "both"]

SIDE, GAP, LEFT, TOP = 120, 3, 130, 42


def size_of(entry: Entry) -> float:
    """Of the lesion in ml: as the manifest says, or else from its mask."""
    if entry.columns.get("size_ml"):
        return float(entry.columns["size_ml"])
    scan = entry.read()
    return 0.0 if scan.lesions is None else float(scan.lesions.sum() * np.prod(scan.grid.spacing) / 1000.0)


def typical(cohort: Cohort, scans: int | None = None) -> list[tuple[Entry, float]]:
    """Entries to show and the sizes of their lesions, from small to large: one a pathology, or `scans` of them."""
    kinds: dict[str, list[tuple[float, Entry]]] = {}
    for entry in cohort.select(split="test", label="anomalous"):
        kinds.setdefault(entry.pathology, []).append((size_of(entry), entry))
    return [(entry, size) for size, entry in small_to_large(kinds, len(kinds) if scans is None else scans)]


def draw(shown: Sequence[tuple[Entry, float]], folders: Sequence[Path], show: Show) -> Image.Image:
    """The sheet: the first row are the scans with the truth outlined."""
    names = [folder.name.removesuffix("-seed0") for folder in folders]
    entries = [entry for entry, _ in shown]
    made = [{case.key: case for case in show_scans(Detector.load(run), entries).cases} for run in folders]
    for folder, cases in zip(folders, made, strict=True):
        for entry in entries:
            if entry.key not in cases:
                raise BadInput(f"{entry.key}: cannot be shown by {folder}; choose other scans with --where")
            if cases[entry.key].truth is None:
                raise BadInput(f"{entry.key}: no lesion mask; choose scans that have one with --where")
    wide = 2 if show == "both" else 1
    pitch = wide * (SIDE + GAP) + (2 * GAP if wide > 1 else 0)
    picture = Image.new(
        "RGB", (LEFT + len(shown) * pitch, TOP + (1 + len(made)) * (SIDE + GAP) + 22), "white"
    )
    pen = ImageDraw.Draw(picture)
    for row, name in enumerate(["scan, truth", *names]):
        pen.text((6, TOP + row * (SIDE + GAP) + 8), name, fill="#111", font=font(11))
    for number, (entry, size_ml) in enumerate(shown):
        left = LEFT + number * pitch
        pen.text((left, 6), entry.pathology or "lesion", fill="#111", font=font(11))
        pen.text((left, 22), f"{size_ml:.2g} ml", fill="#666", font=font(10))
        cases = [cases[entry.key] for cases in made]
        size = tile_size(cases[0].image.shape, spacing=cases[0].spacing, side=SIDE)
        picture.paste(contour_tile(cases[0].image, size, truth=cases[0].truth), (left, TOP))
        for row, case in enumerate(cases, start=1):
            # Methods that draw nothing have an empty place there.
            drawn = None if case.healthy is None else grey_tile(case.healthy, size)
            maps = map_tile(case.anomaly, size)
            tiles: list[Image.Image | None] = {"maps": [maps], "healthy": [drawn], "both": [drawn, maps]}[
                show
            ]
            for place, tile in enumerate(tiles):
                if tile is not None:
                    picture.paste(tile, (left + place * (SIDE + GAP), TOP + row * (SIDE + GAP)))
    pen.text((6, picture.height - 16), "research use, not a medical device", fill="#666", font=font(10))
    return picture


def main(words: list[str] | None = None) -> None:
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--healthy", action="store_true")
    parser.add_argument("--both", action="store_true")
    parser.add_argument("--scans", type=int)
    parser.add_argument("--where", action="append", default=[])
    given = parser.parse_args(words)
    show: Show = "both" if given.both else "healthy" if given.healthy else "maps"
    try:
        shown = typical(Cohort.open(given.manifest, where=given.where), given.scans)
        if not shown:
            raise BadInput(f"{given.manifest}: no anomalous scan in split test; choose others with --where")
        sheet = draw(shown, given.runs, show)
    except BadInput as error:
        sys.exit(str(error))
    given.picture.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(given.picture, optimize=True)


if __name__ == "__main__":
    main()
