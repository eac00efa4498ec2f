"""The test scans of a cohort under another contrast: what a method trained on the old contrast makes of them.

    python benchmarks/recontrast.py work/implants/oasis/manifest.csv work/recontrast/oasis/non-monotone --map non-monotone

The new cohort holds the scans of split test, and the anomalous ones of val, with other grey values; their twins get the
same map. All other rows are as they were (hard links, copies where the file system has none). Masks and regions of
interest stay. It is for skull-stripped scans: the background stays background. A brain with a bright rim may be taken for
a head with its skull, so detect and evaluate with recipe.roi.how=given_or_nonzero.

A map is drawn for each subject, by the seed. Grey values are counted from the background, 0, to the 98th percentile of
the subject's healthy brain, 1. Of u, the old value, with r(u) a rising curve (a line and two logistic steps, r(0) = 0
and r(1) = 1):

    monotone       r(u)
    inverted       1 / (1 + (u / a) ** b): bright becomes dark, as on T2
    non-monotone   0.15 + 0.85 (1 +- cos(2 pi f (r(u) - r(c)))) / 2: rises and falls, or falls and rises, around c, a
                   value between fluid and white matter, so that tissues change their order

None of these curves is in the augmentation of `dal` and `training.recontrast` (Bezier curves, powers, broken lines). A
lesion and its surroundings may come out alike: column `contrast_sd` has the mean difference of scan and twin inside the
mask, in standard deviations of the twin's brain. Column `contrast` of implants, which is about the old grey values,
becomes `contrast_before`. Pictures are written with 16 bits, volumes and arrays as float32, so that nothing is lost to
rounding. Column `modality` gets the name of the map behind it.

For research use only; not a medical device.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from unlesion.errors import BadInput
from unlesion.files import write_text
from unlesion.phantom.implant.files import link_or_copy
from unlesion.prepare.foreground import commonest_edge_value, nonzero
from unlesion.scans import Cohort, Entry, Grid, Scan
from unlesion.scans.formats import bare, nifti, picture, without_ending
from unlesion.seeds import seed_of

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
Map = Callable[[Floats], Floats]

# What 1 becomes in the files: a picture has room for four times as much.
PICTURE_UNIT = 16384.0
UNIT = 1000.0


def rising(rng: np.random.Generator) -> Map:
    """A line and two logistic steps: strictly increasing, 0 at 0 and 1 at 1."""
    centres, widths = rng.uniform(0.2, 0.9, 2), rng.uniform(0.08, 0.2, 2)
    line = rng.uniform(0.3, 0.6)
    shares = (1.0 - line) * np.array([share := rng.uniform(0.2, 0.8), 1.0 - share])

    def one(u: Floats) -> Floats:
        steps = [
            share * (expit((u - c) / w) - expit(-c / w)) / (expit((1 - c) / w) - expit(-c / w))
            for share, c, w in zip(shares, centres, widths, strict=True)
        ]
        return np.asarray(line * u + sum(steps), dtype=np.float32)

    return one


def inverted(rng: np.random.Generator) -> Map:
    """Strictly decreasing from 1 at 0, above 0 everywhere."""
    half, power = rng.uniform(0.35, 0.75), rng.uniform(1.5, 4.0)
    return lambda u: np.asarray(1.0 / (1.0 + (u / half) ** power), dtype=np.float32)


def folded(rng: np.random.Generator) -> Map:
    """A wave over a rising curve, with one of its turns between fluid and white matter; 0.15 to 1."""
    curve = rising(rng)
    turn = curve(np.float32(rng.uniform(0.45, 0.85)) * np.ones(1, np.float32))
    turns, sign = rng.uniform(0.6, 1.0), rng.choice([-1.0, 1.0])
    return lambda u: np.asarray(
        0.15 + 0.425 * (1.0 + sign * np.cos(2 * np.pi * turns * (curve(u) - turn))), dtype=np.float32
    )


KINDS: dict[str, Callable[[np.random.Generator], Map]] = {
    "monotone": rising,
    "inverted": inverted,
    "non-monotone": folded,
}


class Recontrast:
    """The maps of a cohort's subjects, and their scans under them.

    Args:
        kind: one of `KINDS`.
        seed: of all maps.
        entries: scans that will be mapped; each subject's decide what 1 is.
    """

    def __init__(self, kind: str, *, seed: int, entries: Iterable[Entry]) -> None:
        self.kind, self.seed = kind, seed
        # What was made of which file.
        self.written: dict[Path, str] = {}
        values: dict[str, dict[tuple[Path, ...], Floats]] = {}
        for entry in entries:
            # Twins of several lesions are one image.
            known = values.setdefault(entry.subject, {})
            if reference_path(entry) not in known:
                healthy = reference(entry.read())
                known[reference_path(entry)] = (healthy - commonest_edge_value(healthy))[brain(healthy)][::7]
        self._tops = {name: _top(name, list(parts.values())) for name, parts in values.items()}

    def map_of(self, subject: str) -> Map:
        """The subject's map, of grey values counted from 0 to 1."""
        return KINDS[self.kind](np.random.default_rng(seed_of(self.seed, "recontrast", self.kind, subject)))

    def apply(self, scan: Scan) -> tuple[Floats, Floats]:
        """The scan and its twin (or itself) with new grey values, (rows, columns, slices); the background becomes 0."""
        healthy = reference(scan)
        inside, dark = brain(healthy), commonest_edge_value(healthy)
        curve, top = self.map_of(scan.subject), self._tops[scan.subject]

        def mapped(image: Floats) -> Floats:
            counted = (image - dark) / np.float32(top)
            return np.where(inside, curve(np.maximum(counted, 0.0)), counted).astype(np.float32)

        return mapped(scan.voxels[0]), mapped(healthy)


def reference(scan: Scan) -> Floats:
    """What is healthy of a scan: its twin; the scan itself where it has none."""
    return (scan.voxels if scan.twin is None else scan.twin)[0]


def reference_path(entry: Entry) -> tuple[Path, ...]:
    """The files of `reference`."""
    return entry.twin_paths or entry.paths


def brain(image: Floats) -> Mask:
    """What is not background."""
    return nonzero(image[None])


def _top(subject: str, parts: list[Floats]) -> float:
    values = np.concatenate(parts)
    if not values.size:
        raise BadInput(f"{subject}: its scans show nothing but background")
    return float(np.percentile(values, 98))


def write_image(stem: Path, image: Floats, grid: Grid) -> Path:
    """Write (rows, columns, slices) in the scan's family of formats."""
    if grid.family == "picture":
        whole = np.clip(np.rint(PICTURE_UNIT * image), 0, np.iinfo(np.uint16).max)
        return picture.write(stem, whole.astype(np.uint16), grid, dtype=np.uint16)
    writer = nifti if grid.family == "nifti" else bare
    return Path(writer.write(stem, np.float32(UNIT) * image, grid, dtype=np.float32))


def write_cohort(cohort: Cohort, out: Path, *, kind: str, seed: int = 0) -> Path:
    """Write the cohort with its test scans under maps of this kind; the path of its manifest.

    Raises:
        BadInput: nothing to map, several channels, a folder as an image, or `out` cannot be written.
    """
    chosen = [
        entry
        for entry in cohort
        if entry.split == "test" or (entry.split == "val" and entry.label == "anomalous")
    ]
    if not chosen:
        raise BadInput(f"{cohort.name}: no scans in split 'test'; there is nothing to map")
    if any(len(entry.paths) > 1 or entry.paths[0].is_dir() for entry in cohort):
        raise BadInput(f"{cohort.name}: one file a scan is needed; leave out channels, convert series")
    if out.resolve() == cohort.root.resolve():
        raise BadInput(f"{out}: the folder of the cohort itself; write to another folder")
    maps = Recontrast(kind, seed=seed, entries=chosen)
    there = {id(entry) for entry in chosen}
    rows = [
        _mapped_row(entry, cohort.root, out, maps) if id(entry) in there else _row(entry, cohort.root, out)
        for entry in cohort
    ]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    write_text(out / "manifest.csv", text.getvalue())
    return out / "manifest.csv"


def _row(entry: Entry, root: Path, out: Path) -> dict[str, str]:
    """The row as it is; its files are put below `out`."""
    for path in entry.files:
        link_or_copy(path, out / _relative(path, root))
    return dict(entry.columns)


def _mapped_row(entry: Entry, root: Path, out: Path, maps: Recontrast) -> dict[str, str]:
    scan = entry.read()
    image, twin = maps.apply(scan)
    row = dict(entry.columns)
    for column, path in (("mask_path", entry.mask_path), ("roi_path", entry.roi_path)):
        if path is not None:
            link_or_copy(path, out / _relative(path, root))
            row[column] = _relative(path, root)
    row["path"] = _write(image, entry.paths[0], scan.grid, root, out, maps)
    if entry.twin_paths:
        row["twin_path"] = _write(twin, entry.twin_paths[0], scan.grid, root, out, maps)
    if "contrast" in row:
        row["contrast_before"] = row.pop("contrast")
    row["modality"] = f"{row.get('modality', '')}-{maps.kind}".lstrip("-")
    row["contrast_sd"] = ""
    if scan.twin is not None and scan.lesions is not None and scan.lesions.any():
        spread = float(twin[brain(reference(scan))].std())
        row["contrast_sd"] = f"{float((image - twin)[scan.lesions].mean()) / max(spread, 1e-6):.3f}"
    return row


def _write(image: Floats, path: Path, grid: Grid, root: Path, out: Path, maps: Recontrast) -> str:
    """Write what the map made of a file; the twin of several lesions once."""
    if path not in maps.written:
        stem = Path(maps.kind) / without_ending(_relative(path, root))
        maps.written[path] = write_image(out / stem, image, grid).relative_to(out).as_posix()
    return maps.written[path]


def _relative(path: Path, root: Path) -> str:
    return Path(os.path.relpath(path, root)).as_posix()


def main(words: list[str] | None = None) -> None:
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("manifest", type=Path, metavar="MANIFEST")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--map", dest="kind", choices=list(KINDS), required=True)
    parser.add_argument("--where", action="append", default=[], metavar="COL=A,B")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(words)
    try:
        cohort = Cohort.open(given.manifest, where=given.where)
        print(write_cohort(cohort, given.out, kind=given.kind, seed=given.seed))
    except BadInput as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
