"""Forest plots for the docs: a row a method, dots with 95 % intervals, best first.

    python benchmarks/forest.py work/glioma/leaderboard.csv docs/images lgg_flair voxel_ap dice_at_fpr_001
    python benchmarks/forest.py work/implants/bench/leaderboard.csv docs/images implants_oasis voxel_ap twin_gain

Reads `leaderboard.csv` as `unlesion bench` writes it and draws one SVG of a cohort, with a panel a metric, ranked by the
first; of several seeds each is a row. For research use only; not a medical device.
"""

from __future__ import annotations

import base64
import csv
import sys
from collections.abc import Sequence
from pathlib import Path

from unlesion.files import write_text
from unlesion.report.forest import Panel, forest

LABELS = {
    "voxel_ap": "voxel AP",
    "dice_at_fpr_001": "Dice at 1 % healthy FPR",
    "twin_gain": "twin gain",
    "image_auroc_within": "image AUROC within modality",
    "image_auroc": "image AUROC",
    "healthy_ssim": "SSIM of healthy scans",
}
GUESSING = {"voxel_ap": "voxel_prevalence"}


def panel(metric: str, rows: Sequence[dict[str, str]]) -> Panel:
    """One metric of all rows."""
    number = lambda row, name: float(row[name]) if row.get(name) else None  # noqa: E731
    ends = [(number(row, f"{metric}_lo"), number(row, f"{metric}_hi")) for row in rows]
    chance = [
        0.5 if metric.startswith("image_auroc") else number(row, GUESSING.get(metric, "")) for row in rows
    ]
    return Panel(
        label=LABELS.get(metric, metric),
        values=[number(row, metric) for row in rows],
        intervals=[None if low is None or high is None else (low, high) for low, high in ends],
        guessing=chance,
    )


def main(table: str, folder: str, cohort: str, *metrics: str) -> None:
    """See the top of this file."""
    with Path(table).open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["cohort"] == cohort and row["status"] == "done"]
    rows.sort(key=lambda row: -float(row[metrics[0]]))
    several = len({row["seed"] for row in rows}) > 1
    names = [f"{row['method']}, seed {row['seed']}" if several else row["method"] for row in rows]
    drawn = forest(names, [panel(metric, rows) for metric in metrics])
    if drawn is None:
        raise SystemExit(f"{table}: no finished rows of {cohort}")
    path = Path(folder) / f"{cohort}.svg"
    write_text(path, base64.b64decode(drawn.partition("base64,")[2]).decode())
    print(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
