"""The picture of the README out of a demo: what was found best, missed most, and a healthy scan.

python docs/demo_picture.py demo docs/images/demo.png
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageDraw

from unlesion.report.gallery import Gallery
from unlesion.report.tiles import contour_tile, font, grey_tile, map_tile, tile_size

ROWS = {"best": "found best", "miss": "missed most", "healthy": "healthy"}
HEADS = ("scan", "pseudo-healthy", "anomaly map", "truth (teal), found (orange)")
SIDE, GAP, LEFT, TOP, BOTTOM = 200, 6, 130, 28, 24


def draw(gallery: Gallery) -> Image.Image:
    """A row per kind of case; every map on the same calibrated scale."""
    cases = [(words, gallery.of(kind)[0]) for kind, words in ROWS.items() if gallery.of(kind)]  # type: ignore[arg-type]
    width = LEFT + len(HEADS) * (SIDE + GAP)
    picture = Image.new("RGB", (width, TOP + len(cases) * (SIDE + GAP) + BOTTOM), "white")
    pen = ImageDraw.Draw(picture)
    for column, head in enumerate(HEADS):
        pen.text((LEFT + column * (SIDE + GAP), 8), head, fill="#444", font=font(12))
    for row, (words, case) in enumerate(cases):
        size = tile_size(case.image.shape, spacing=case.spacing, side=SIDE)
        tiles = [grey_tile(case.image, size)]
        tiles.append(grey_tile(case.healthy, size) if case.healthy is not None else tiles[0])
        tiles.append(map_tile(case.anomaly, size))
        tiles.append(contour_tile(case.image, size, truth=case.truth, found=case.found))
        top = TOP + row * (SIDE + GAP)
        pen.text((8, top + 8), words, fill="#111", font=font(13))
        for line, (name, value) in enumerate(list(case.facts.items())[:5]):
            pen.text((8, top + 32 + 17 * line), f"{name} {value}"[:24], fill="#666", font=font(10))
        for column, tile in enumerate(tiles):
            place = (LEFT + column * (SIDE + GAP) + (SIDE - tile.width) // 2, top + (SIDE - tile.height) // 2)
            picture.paste(tile, place)
    note = "virtual brains; orange: above the threshold that 1 % of healthy voxels exceed; research use, not a medical device"
    pen.text((8, picture.height - 18), note, fill="#666", font=font(10))
    return picture


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("give: DEMO PICTURE")
    draw(Gallery.load(Path(sys.argv[1]) / "gallery")).save(sys.argv[2], optimize=True)
