"""What each noise level makes of the same scans: a row a level of `t_test`, all asked of one run of a diffusion method.

    python benchmarks/noise_levels.py RUN MANIFEST --split val --levels 250 500 750 250,500,750 --picture levels.png

Several levels with commas between them are an ensemble: the images that they draw are averaged. `--set method.steps=10`
changes other settings of detection for all levels.

Per level: mean |scan - redrawn| over the roi of healthy scans (grey values of the recipe), the AP of that residual, or of the
map of its own that a method has (`andi`), over the roi of all scans together (after a 5 x 5 median on the network's grid; nothing else of the protocol, so that it compares within
this table only), and the twin gain where scans have twins: 1 - |redrawn - twin| / |scan - twin|, means over the lesions.

The picture: a row a scan (first healthy ones, then those with most lesion), a column a level. For research use only; not a
medical device.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import median_filter
from sklearn.metrics import average_precision_score

from unlesion.cli.options import pick_device
from unlesion.detector import Detector
from unlesion.errors import BadInput
from unlesion.prepare import Prepared
from unlesion.prepare.resample import to_prepared
from unlesion.report.tiles import contour_tile, font, grey_tile, tile_size
from unlesion.scans import Cohort, Scan
from unlesion.settings import parse_settings, validated
from unlesion.sweep import sweep

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

SIDE, GAP, TOP, BOTTOM = 150, 4, 24, 20
HEALTHY, SICK = 2, 4
# Grey value that is drawn white.
WHITE = 1.0


@dataclass(eq=False)
class Level:
    """What one level made of all scans."""

    anomaly: list[Floats] = field(default_factory=list)
    lesion: list[Mask] = field(default_factory=list)
    healthy: list[float] = field(default_factory=list)
    left: float = 0.0
    made: float = 0.0

    def row(self, name: str) -> str:
        """A row of the table."""
        truth = np.concatenate(self.lesion)
        found = average_precision_score(truth, np.concatenate(self.anomaly)) if truth.any() else np.nan
        gain = f"{1 - self.left / self.made:.3f}" if self.made else "–"
        error = f"{np.mean(self.healthy):.4f}" if self.healthy else "–"
        return f"| {name} | {error} | {found:.3f} | {gain} |"


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A slice of one scan for the picture, (H, W) each."""

    scan: Floats
    lesion: Mask
    redrawn: tuple[Floats, ...]


def levels_in(text: str) -> tuple[int, ...]:
    """The levels named in words such as 250,500."""
    try:
        return tuple(map(int, text.split(",")))
    except ValueError as error:
        raise BadInput(f"--levels {text}: give whole numbers, such as 500 or 250,500,750") from error


def at_levels(run: Detector, levels: tuple[int, ...], others: dict[str, Any]) -> Detector:
    """The run, its noise levels and other settings of detection changed."""
    learnt = sorted(set(others) - type(run.method).Config.at_detection)
    if learnt:
        raise BadInput(f"--set method.{learnt[0]}: the training hangs on it; choose settings of detection")
    settings = {**run.method.config.model_dump(mode="json"), **others, "t_test": levels}
    config = validated(type(run.method).Config, settings, what="method")
    return replace(run, method=type(run.method)(config, run.method.spec))


def on_grid(scan: Scan, prepared: Prepared, values: Floats) -> Floats:
    """(S, C, H, W) of (C, X, Y, Z) values in the scan's grid."""
    everywhere = np.ones(scan.grid.shape, dtype=bool)
    sampled, _ = to_prepared(values, everywhere, prepared.placement)
    return np.ascontiguousarray(np.moveaxis(sampled, -1, 0))


def measured(runs: dict[str, Detector], cohort: Cohort) -> tuple[dict[str, Level], list[Shown], list[Shown]]:
    """Levels by name, and what the picture may show: healthy and anomalous slices."""
    levels = {name: Level() for name in runs}
    well: list[Shown] = []
    ill: list[Shown] = []
    recipe = next(iter(runs.values())).recipe
    for swept in sweep(list(cohort), recipe):
        if swept.scan is None or swept.prepared is None:
            print(swept.problem, file=sys.stderr)
            continue
        scan, prepared = swept.scan, swept.prepared
        lesion = np.zeros(prepared.roi.shape, dtype=bool)
        if scan.lesions is not None:
            lesion = on_grid(scan, prepared, scan.lesions[None].astype(np.float32))[:, 0] >= 0.5
        elif swept.entry.label != "healthy":
            continue
        twin = None
        if scan.twin is not None:
            twin = prepared.intensity.apply(on_grid(scan, prepared, scan.twin))
        roi, images = prepared.roi, prepared.images
        drawn = []
        for name, run in runs.items():
            evidence = run.evidence(prepared, device=pick_device("auto"))
            healthy = evidence.healthy
            assert healthy is not None
            drawn.append(healthy)
            residual = np.abs(images - healthy).mean(1)
            level = levels[name]
            own = str(run.method.native["rule"]).removeprefix("map:")
            anomaly = evidence.maps.get(own, residual)
            level.anomaly.append(median_filter(anomaly, (1, 5, 5))[roi])
            level.lesion.append(lesion[roi])
            if not lesion.any():
                level.healthy.append(float(residual[roi].mean()))
            elif twin is not None:
                inside = lesion & roi
                level.left += float(np.abs(healthy - twin).mean(1)[inside].sum())
                level.made += float(np.abs(images - twin).mean(1)[inside].sum())
        size = (lesion if lesion.any() else roi).sum(axis=(1, 2))
        at = int(np.argmax(size))
        shown = Shown(scan=images[at, 0], lesion=lesion[at], redrawn=tuple(each[at, 0] for each in drawn))
        (ill if lesion.any() else well).append(shown)
    if not well and not ill:
        raise BadInput(f"{cohort.name}: no scan to measure on; choose others with --split or --where")
    return levels, well, ill


def picture(heads: list[str], rows: list[Shown], path: Path) -> None:
    """The scans, lesions outlined, and what each level drew."""
    size = tile_size(rows[0].scan.shape, side=SIDE)
    width, height = (1 + len(heads)) * (SIDE + GAP), TOP + len(rows) * (SIDE + GAP) + BOTTOM
    sheet = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(sheet)
    for column, head in enumerate(["scan, truth", *heads]):
        pen.text((column * (SIDE + GAP) + 2, 6), head, fill="#444", font=font(11))
    for row, shown in enumerate(rows):
        tiles = [contour_tile(shown.scan / WHITE, size, truth=shown.lesion)]
        tiles += [grey_tile(image / WHITE, size) for image in shown.redrawn]
        for column, tile in enumerate(tiles):
            sheet.paste(tile, (column * (SIDE + GAP), TOP + row * (SIDE + GAP)))
    pen.text((4, height - 15), "research use, not a medical device", fill="#666", font=font(10))
    sheet.save(path, optimize=True)


def main(words: list[str] | None = None) -> None:
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("manifest", type=Path, metavar="MANIFEST")
    parser.add_argument("--where", action="append", default=[], metavar="COL=A,B")
    parser.add_argument("--split", default="val")
    parser.add_argument("--levels", nargs="+", default=["250", "500", "750", "250,500,750"])
    parser.add_argument("--set", action="append", default=[], metavar="method.NAME=VALUE")
    parser.add_argument("--picture", type=Path, default=None)
    given = parser.parse_args(words)
    try:
        run = Detector.load(given.run)
        if not hasattr(run.method.config, "t_test"):
            raise BadInput(f"{given.run}: method {run.method.name!r} has no noise levels")
        others = parse_settings(given.set)["method"]
        runs = {text: at_levels(run, levels_in(text), others) for text in given.levels}
        cohort = Cohort.open(given.manifest, where=given.where).select(split=given.split)
        levels, well, ill = measured(runs, cohort)
    except BadInput as error:
        sys.exit(str(error))
    print("| levels | healthy error | AP | twin gain |\n|---|---|---|---|")
    for name, level in levels.items():
        print(level.row(name))
    if given.picture:
        most = sorted(ill, key=lambda shown: -int(shown.lesion.sum()))
        picture(given.levels, [*well[:HEALTHY], *most[:SICK]], given.picture)


if __name__ == "__main__":
    main()
