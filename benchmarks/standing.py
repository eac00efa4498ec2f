"""The standing on one cohort: all methods that were measured on it, from the rows that `bench --results` keeps.

    python benchmarks/standing.py benchmarks/results lgg_flair voxel_ap dice_at_fpr_001 --csv work/standing/lgg_flair.csv
    python benchmarks/standing.py benchmarks/results cxr_nih image_auroc --without ddpm-500 ra-5

One row a method: seed 0; the newest version of the method; of several rows of a version that which is read against healthy
training scans (`scoring.standardise`), by the newest version of that scoring. Rows of another test set than that of most rows are left out. Ranked by the first metric.
The last column is the paired difference with the best row (95 %, bootstrap over subjects): a rank whose interval includes 0
may be chance. It is left out where what comparisons need of the best row was too large to be kept. Budgets differ where the pages say so. `--csv` is what `forest.py` draws. For research use only; not a medical device.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unlesion.errors import BadInput
from unlesion.evaluation import compare
from unlesion.files import read_json, whole_file

TITLES = {
    "voxel_ap": "voxel AP",
    "voxel_ap_raw": "AP, no post-processing",
    "dice_at_fpr_001": "Dice at 1 % healthy FPR",
    "image_auroc_within": "image AUROC within modality",
    "image_auroc": "image AUROC",
    "shared_voxel_ap": "voxel AP, shared scoring",
    "shared_image_auroc": "image AUROC, shared scoring",
    "twin_gain": "twin gain",
    "healthy_ssim": "SSIM of healthy scans",
}
# As metrics are called in comparisons.
PAIRED = {
    "voxel_ap": "voxel.ap",
    "dice_at_fpr_001": "voxel.dice_at_fpr.fpr_001",
    "image_auroc_within": "image.auroc_within_modality",
    "image_auroc": "image.auroc",
}


def rows_of(folder: Path, *, without: list[str], plain: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The row of each method, with its `evidence`: the folder with what comparisons need.

    Of the labels in `plain` the row that is not read against healthy scans.
    """
    found = []
    for path in sorted(folder.glob("*.json")):
        row = read_json(path)
        read = row["identity"]["scoring"].get("standardise") and row["method"] in plain
        if row["seed"] == 0 and row["method"] not in without and not read:
            found.append({**row, "evidence": path.with_suffix("")})
    if not found:
        raise BadInput(f"{folder}: no rows of seed 0; measure some with `unlesion bench --results`")
    test, _ = Counter(row["identity"]["test"] for row in found).most_common(1)[0]
    best: dict[str, dict[str, Any]] = {}
    for row in (row for row in found if row["identity"]["test"] == test):
        if row["method"] not in best or _newness(row) > _newness(best[row["method"]]):
            best[row["method"]] = row
    return list(best.values())


def _newness(row: dict[str, Any]) -> tuple[int, bool, int]:
    identity = row["identity"]
    return (
        identity["method_version"],
        bool(identity["scoring"].get("standardise")),
        identity.get("scored", 1),
    )


def against(best: dict[str, Any], row: dict[str, Any], metric: str) -> str:
    """The paired difference of a row with the best one, as a cell."""
    if row is best:
        return "–"
    try:
        pair = compare([best["evidence"], row["evidence"]])[0].get(PAIRED[metric])
    except BadInput:
        return "not kept"
    if pair is None or pair.difference is None:
        return "–"
    return f"{pair.difference:+.3f}" + (f" [{pair.ci[0]:+.3f}, {pair.ci[1]:+.3f}]" if pair.ci else "")


def cell(row: dict[str, Any], metric: str) -> str:
    """A metric with its interval."""
    if row.get(metric) is None:
        return "–"
    low, high = row.get(f"{metric}_lo"), row.get(f"{metric}_hi")
    return f"{row[metric]:.3f}" + ("" if low is None else f" [{low:.3f}, {high:.3f}]")


def table(rows: list[dict[str, Any]], metrics: list[str]) -> str:
    """Markdown, best first."""
    paired = rows[0]["evidence"].is_dir()
    heads = ["rank", "method", "steps", *(TITLES.get(name, name) for name in metrics)]
    heads += ["minus the best, paired"] if paired else []
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for rank, row in enumerate(rows, start=1):
        name = row["method"]
        if row["identity"]["method_version"] > 1:
            name += f" (version {row['identity']['method_version']})"
        cells = [str(rank), name, str(row.get("steps") or "–"), *(cell(row, metric) for metric in metrics)]
        cells += [against(rows[0], row, metrics[0])] if paired else []
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_csv(rows: list[dict[str, Any]], path: Path) -> None:
    """All plain columns of the rows, as `leaderboard.csv` has them."""
    columns = list(dict.fromkeys(name for row in rows for name, value in row.items() if _plain(value)))
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, extrasaction="ignore", restval="")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: "" if row.get(name) is None else row[name] for name in columns})


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def main(words: list[str] | None = None) -> None:
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("results", type=Path, metavar="RESULTS")
    parser.add_argument("cohort", metavar="COHORT")
    parser.add_argument("metrics", nargs="+", metavar="METRIC", help=f"the first ranks: {', '.join(PAIRED)}")
    parser.add_argument("--without", nargs="+", default=[], help="labels to leave out")
    parser.add_argument(
        "--plain",
        nargs="+",
        default=[],
        help="labels whose map is taken as it is, though another row is read",
    )
    parser.add_argument("--csv", type=Path, default=None)
    given = parser.parse_args(words)
    try:
        if given.metrics[0] not in PAIRED:
            raise BadInput(f"{given.metrics[0]}: cannot rank; the first metric is one of {', '.join(PAIRED)}")
        rows = rows_of(given.results / given.cohort, without=given.without, plain=given.plain)
        rows = [row for row in rows if row.get(given.metrics[0]) is not None]
        rows.sort(key=lambda row: -row[given.metrics[0]])
    except BadInput as error:
        sys.exit(str(error))
    print(table(rows, given.metrics))
    if given.csv:
        write_csv(rows, given.csv)


if __name__ == "__main__":
    main()
