"""The same scans through every run, on one sheet: a row a pathology, a map (or healthy image) a run.

    python benchmarks/sheet.py work/implants/oasis/manifest.csv maps.png work/implants/bench/runs/implants_oasis/*-seed0
    python benchmarks/sheet.py --healthy work/implants/oasis/manifest.csv healthy.png RUN [RUN ...]

Of each pathology in split test the scan with the median lesion size is shown, at the slice with most lesion. Maps
are on the fixed scale of each run: orange begins at the threshold that 1 % of healthy voxels exceed. For research
use only; not a medical device.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from unlesion.detector import Detector
from unlesion.report.cutting import cut_case
from unlesion.report.gallery import GalleryCase
from unlesion.report.tiles import contour_tile, font, grey_tile, map_tile, tile_size
from unlesion.scans import Cohort, Entry

SIDE, GAP, LEFT, TOP = 150, 4, 190, 26


def typical(cohort: Cohort) -> dict[str, Entry]:
    """Of each pathology the entry with the median size."""
    kinds: dict[str, list[Entry]] = {}
    for entry in cohort.select(split="test", label="anomalous"):
        kinds.setdefault(entry.pathology, []).append(entry)
    size = lambda entry: float(entry.columns.get("size_ml") or 0)  # noqa: E731
    return {name: sorted(found, key=size)[len(found) // 2] for name, found in sorted(kinds.items())}


def cases_of(entry: Entry, runs: list[Detector]) -> list[GalleryCase]:
    """One case a run, all of the same slice."""
    scan = entry.read()
    assert scan.lesions is not None
    at = int(np.argmax(scan.lesions.sum(axis=(0, 1))))
    twin = scan.twin if scan.twin is not None else scan.voxels
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
                healthy=twin if found.healthy is None else found.healthy,
                lesions=scan.lesions,
                found=found.lesions,
                spacing=scan.grid.spacing,
                facts={"size": f"{float(entry.columns.get('size_ml') or 0):.2g} ml"},
            )
        )
    return cases


def draw(manifest: Path, folders: list[Path], *, healthy: bool) -> Image.Image:
    """The sheet."""
    runs = [Detector.load(folder) for folder in folders]
    names = [folder.name.removesuffix("-seed0") for folder in folders]
    rows = {name: (entry, cases_of(entry, runs)) for name, entry in typical(Cohort.open(manifest)).items()}
    heads = ["scan, truth", *names]
    picture = Image.new(
        "RGB", (LEFT + len(heads) * (SIDE + GAP), TOP + len(rows) * (SIDE + GAP) + 22), "white"
    )
    pen = ImageDraw.Draw(picture)
    for column, head in enumerate(heads):
        pen.text((LEFT + column * (SIDE + GAP), 6), head, fill="#444", font=font(11))
    for row, (name, (_, cases)) in enumerate(rows.items()):
        top = TOP + row * (SIDE + GAP)
        pen.text((6, top + 8), name, fill="#111", font=font(11))
        pen.text((6, top + 26), ", ".join(cases[0].facts.values()), fill="#666", font=font(10))
        size = tile_size(cases[0].image.shape, spacing=cases[0].spacing, side=SIDE)
        tiles = [contour_tile(cases[0].image, size, truth=cases[0].truth)]
        for case in cases:
            shown = grey_tile(case.healthy, size) if healthy and case.healthy is not None else None
            tiles.append(shown or map_tile(case.anomaly, size))
        for column, tile in enumerate(tiles):
            picture.paste(tile, (LEFT + column * (SIDE + GAP), top))
    pen.text((6, picture.height - 16), "research use, not a medical device", fill="#666", font=font(10))
    return picture


if __name__ == "__main__":
    given = [argument for argument in sys.argv[1:] if argument != "--healthy"]
    if len(given) < 3:
        sys.exit("give: [--healthy] MANIFEST PICTURE RUN [RUN ...]")
    sheet = draw(Path(given[0]), [Path(name) for name in given[2:]], healthy="--healthy" in sys.argv)
    sheet.save(given[1], optimize=True)
