"""The same scans through every run, on one sheet: a row a run, a column a scan.

    python benchmarks/sheet.py work/implants/oasis/manifest.csv maps.png work/implants/bench/runs/implants_oasis/*-seed0
    python benchmarks/sheet.py --healthy work/implants/oasis/manifest.csv healthy.png RUN [RUN ...]
    python benchmarks/sheet.py --both --scans 6 MANIFEST page.png RUN [RUN ...] [--where COLUMN=A,B]

Shown are anomaly maps, `--healthy` the pseudo-healthy images, `--both` one beside the other. Of each pathology in split
test the scan with the median lesion is taken, or `--scans` so many, evenly from small lesions to large, at the slice
with most lesion. Maps are on the fixed scale of each run: orange begins at the threshold that 1 % of healthy voxels
exceed. For research use only; not a medical device.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

from unlesion.detector import Detector
from unlesion.errors import BadInput
from unlesion.report.cutting import cut_case
from unlesion.report.gallery import GalleryCase
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
    """Entries to show and the sizes of their lesions, by pathology; or `scans` of them, from small to large."""
    kinds: dict[str, list[tuple[Entry, float]]] = {}
    for entry in cohort.select(split="test", label="anomalous"):
        kinds.setdefault(entry.pathology, []).append((entry, size_of(entry)))
    each = 1 if scans is None else max(1, math.ceil(scans / max(1, len(kinds))))
    found = []
    for _, members in sorted(kinds.items()):
        members.sort(key=lambda member: member[1])
        found += [members[place] for place in _spread(len(members), min(each, len(members)))]
    if scans is None:
        return found
    found.sort(key=lambda member: member[1])
    return [found[place] for place in _spread(len(found), min(scans, len(found)))]


def _spread(length: int, count: int) -> list[int]:
    """So many places in a list, in the middle of equal parts of it."""
    return [int((number + 0.5) * length / count) for number in range(count)]


def cases_of(entry: Entry, runs: Sequence[Detector]) -> list[GalleryCase]:
    """One case a run, all of the same slice."""
    scan = entry.read()
    if scan.lesions is None:
        raise BadInput(f"{entry.key}: no lesion mask; choose scans that have one with --where")
    at = int(np.argmax(scan.lesions.sum(axis=(0, 1))))
    window = (0.0, float(np.percentile(scan.voxels[0][scan.voxels[0] > 0], 99.5)))
    cases = []
    for run in runs:
        found = run.detect(scan)
        cases.append(
            cut_case(
                key=entry.key,
                kind="lesion",
                at=at,
                image=scan.voxels,
                anomaly=found.anomaly,
                roi=np.broadcast_to(found.roi.any(axis=2, keepdims=True), found.roi.shape),
                window=window,
                threshold=found.threshold or 1.0,
                healthy=found.healthy,
                lesions=scan.lesions,
                found=found.lesions,
                spacing=scan.grid.spacing,
            )
        )
    return cases


def draw(shown: Sequence[tuple[Entry, float]], folders: Sequence[Path], show: Show) -> Image.Image:
    """The sheet: the first row are the scans with the truth outlined."""
    runs = [Detector.load(folder) for folder in folders]
    names = [folder.name.removesuffix("-seed0") for folder in folders]
    columns = [cases_of(entry, runs) for entry, _ in shown]
    wide = 2 if show == "both" else 1
    pitch = wide * (SIDE + GAP) + (2 * GAP if wide > 1 else 0)
    picture = Image.new(
        "RGB", (LEFT + len(columns) * pitch, TOP + (1 + len(runs)) * (SIDE + GAP) + 22), "white"
    )
    pen = ImageDraw.Draw(picture)
    for row, name in enumerate(["scan, truth", *names]):
        pen.text((6, TOP + row * (SIDE + GAP) + 8), name, fill="#111", font=font(11))
    for number, (cases, (entry, size_ml)) in enumerate(zip(columns, shown, strict=True)):
        left = LEFT + number * pitch
        pen.text((left, 6), entry.pathology or "lesion", fill="#111", font=font(11))
        pen.text((left, 22), f"{size_ml:.2g} ml", fill="#666", font=font(10))
        size = tile_size(cases[0].image.shape, spacing=cases[0].spacing, side=SIDE)
        picture.paste(contour_tile(cases[0].image, size, truth=cases[0].truth), (left, TOP))
        for row, case in enumerate(cases, start=1):
            # Methods that draw nothing have an empty place there.
            drawn = None if case.healthy is None else grey_tile(case.healthy, size)
            maps = map_tile(case.anomaly, size)
            tiles = {"maps": [maps], "healthy": [drawn], "both": [drawn, maps]}[show]
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
