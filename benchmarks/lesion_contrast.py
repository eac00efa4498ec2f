"""How much there is to see of the lesions of cohorts with true twins, and how much of it a recipe would cut: a row a cohort.

    python benchmarks/lesion_contrast.py work/implants/oasis/manifest.csv work/recontrast/oasis/*/manifest.csv

Over the anomalous test scans. Contrast: the mean difference of scan and twin inside the mask, in standard deviations of
the twin's brain, regardless of its sign; "dark": the share of lesions below their twin. Recipes bring the median of the
brain to a middle grey and cut at three times that: "cut" is the share of the twins' brains beyond, a subject with any
being named, and "kept" the share of the contrast (summed over scans) that is left.

For research use only; not a medical device.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from unlesion.errors import BadInput
from unlesion.prepare.foreground import nonzero
from unlesion.scans import Cohort, Scan

FAINT = 0.3
# Of the brain's median: where the recipes `slices` and `brain-mri` cut.
CEILING = 3.0
HEADS = ("cohort", "lesions", "median contrast", f"below {FAINT}", "dark", "kept", "cut, by subject")


def contrast(scan: Scan, *, ceiling: float | None = None) -> float:
    """Mean difference to the twin inside the mask, in standard deviations of the twin's brain; cut first, if asked.

    Args:
        scan: with a twin and a mask that is not empty.
        ceiling: grey values end at so many medians of each image's brain.
    """
    assert scan.twin is not None and scan.lesions is not None
    image, twin = scan.voxels[0], scan.twin[0]
    brain = nonzero(twin[None])
    spread = float(twin[brain].std())
    if ceiling is not None:
        image, twin = (np.minimum(one, ceiling * float(np.median(one[brain]))) for one in (image, twin))
    return float((image - twin)[scan.lesions].mean()) / max(spread, 1e-6)


def cut(scan: Scan) -> tuple[int, int]:
    """Voxels of the twin's brain beyond the ceiling, and all of them."""
    assert scan.twin is not None
    twin = scan.twin[0]
    inside = twin[nonzero(twin[None])]
    return int((inside > CEILING * np.median(inside)).sum()), inside.size


def cells(cohort: Cohort, name: str) -> list[str]:
    """A row of the table.

    Raises:
        BadInput: no anomalous test scan has a twin and a mask.
    """
    plain, left = [], []
    beyond: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for entry in cohort:
        if entry.split != "test" or entry.label != "anomalous" or not entry.twin_paths:
            continue
        scan = entry.read()
        if scan.lesions is None or not scan.lesions.any():
            continue
        plain.append(contrast(scan))
        left.append(contrast(scan, ceiling=CEILING))
        beyond[entry.subject].append(cut(scan))
    if not plain:
        raise BadInput(f"{name}: no anomalous test scans with a twin and a mask")
    size = np.abs(plain)
    shares = {subject: np.sum(counts, axis=0) for subject, counts in beyond.items()}
    named = [
        f"{subject} {part / whole:.0%}" for subject, (part, whole) in shares.items() if part / whole >= 0.005
    ]
    return [
        name,
        str(len(plain)),
        f"{np.median(size):.2f}",
        f"{np.mean(size < FAINT):.0%}",
        f"{np.mean(np.array(plain) < 0):.0%}",
        f"{np.abs(left).sum() / size.sum():.2f}",
        ", ".join(named) or "none",
    ]


def main(words: list[str] | None = None) -> None:
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("manifests", type=Path, nargs="+", metavar="MANIFEST")
    given = parser.parse_args(words)
    try:
        rows = [cells(Cohort.open(path), path.parent.name) for path in given.manifests]
    except BadInput as error:
        sys.exit(str(error))
    print("\n".join("| " + " | ".join(row) + " |" for row in (HEADS, ("---",) * len(HEADS), *rows)))


if __name__ == "__main__":
    main()
