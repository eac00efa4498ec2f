"""A metric against the budget: one line of runs that play the introspective game, one of runs that do not.

    python benchmarks/budget_curve.py benchmarks/results/implants_oasis docs/images/budgets.svg

Reads the kept rows of budgets.yaml, called `ra-N` and `plain-N` after their minutes, and the row of `ra` of
implants.yaml, which is that of 10 minutes. Bars: 95 %, bootstrap over subjects. For research use only.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unlesion.files import read_json, whole_file

METRICS = {"voxel_ap": "voxel AP", "twin_gain": "twin gain", "healthy_ssim": "SSIM of healthy scans"}
LINES = {"plain": ("without the game", "#2166ac"), "ra": ("with the game", "#c2500a")}
# The row of `ra` that is not called after its minutes.
OF_IMPLANTS = ("ra", 10)


def rows_of(folder: Path) -> dict[str, dict[int, Mapping[str, Any]]]:
    """By line and minutes the kept rows of seed 0."""
    found: dict[str, dict[int, Mapping[str, Any]]] = {line: {} for line in LINES}
    for path in sorted(folder.glob("*-seed0-*.json")):
        label = path.name.split("-seed0-")[0]
        line, _, minutes = label.partition("-")
        if line in LINES and minutes.isdigit():
            found[line][int(minutes)] = read_json(path)
        elif label == OF_IMPLANTS[0]:
            found[label][OF_IMPLANTS[1]] = read_json(path)
    return found


def draw(found: Mapping[str, Mapping[int, Mapping[str, Any]]], path: Path) -> None:
    """A panel a metric."""
    from matplotlib import rcParams
    from matplotlib.figure import Figure

    # The same file for the same numbers.
    rcParams["svg.hashsalt"] = "unlesion"
    figure = Figure(figsize=(9.5, 3.0), layout="constrained")
    for axes, (metric, title) in zip(figure.subplots(1, len(METRICS)), METRICS.items(), strict=True):
        for place, (line, (name, colour)) in enumerate(LINES.items()):
            # Lines are moved apart a little, so that bars do not hide one another.
            minutes = sorted(found[line])
            rows = [found[line][m] for m in minutes]
            values = [row[metric] for row in rows]
            ends = [
                [value - row[f"{metric}_lo"] for value, row in zip(values, rows, strict=True)],
                [row[f"{metric}_hi"] - value for value, row in zip(values, rows, strict=True)],
            ]
            moved = [m * (0.97 + 0.06 * place) for m in minutes]
            axes.errorbar(
                moved, values, yerr=ends, color=colour, marker="o", markersize=4, capsize=2, label=name
            )
        axes.set_xscale("log")
        ticks = sorted({m for line in found.values() for m in line})
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel("minutes of one core")
        axes.set_title(title, fontsize=10)
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False
    )
    with whole_file(path) as partial:
        figure.savefig(partial, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("give: FOLDER OF ROWS, OUT.svg")
    rows = rows_of(Path(sys.argv[1]))
    if not all(rows.values()):
        sys.exit(f"{sys.argv[1]}: no rows called ra-N and plain-N; run benchmarks/budgets.yaml first")
    draw(rows, Path(sys.argv[2]))
