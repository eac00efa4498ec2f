"""Tables of evaluations by group: a row per group, a column per method.

    python benchmarks/by_group.py pathology voxel.ap work/implants/bench/evaluations/implants_oasis/*
    python benchmarks/by_group.py size_band twin.gain work/implants/bench/evaluations/implants_oasis/*

Reads `metrics.json` as `unlesion evaluate` and `unlesion bench` write it. For research use only.
"""

from __future__ import annotations

import sys
from functools import reduce
from pathlib import Path
from typing import Any

from unlesion.files import read_json


def table(column: str, metric: str, folders: list[Path]) -> str:
    """A Markdown table of one metric, with 95 % intervals where there are any; beside AP the share of lesion voxels."""
    found = {folder.name.removesuffix("-seed0"): read_json(folder / "metrics.json") for folder in folders}
    groups: dict[str, Any] = {}
    for metrics in found.values():
        for name, group in metrics.get("by", {}).get(column, {}).items():
            groups.setdefault(name, group["n"])
    # An AP means nothing without what guessing would reach.
    guessed = metric == "voxel.ap"
    heads = [column.replace("_", " "), "scans, subjects", *(["guessing"] if guessed else []), *found]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for name, n in groups.items():
        cells = [_cell(metrics["by"][column].get(name, {}), metric) for metrics in found.values()]
        if guessed:
            first = next(
                metrics["by"][column][name] for metrics in found.values() if name in metrics["by"][column]
            )
            cells.insert(0, f"{first['voxel']['prevalence']['value']:.3f}")
        lines.append(
            f"| {name} | {_count(n, 'scans')}, {_count(n, 'subjects')} | " + " | ".join(cells) + " |"
        )
    return "\n".join(lines)


def _count(n: dict[str, Any], name: str) -> int:
    value = n[name]
    return int(value["value"] if isinstance(value, dict) else value)


def _cell(group: dict[str, Any], metric: str) -> str:
    found = reduce(lambda at, part: at.get(part) or {}, metric.split("."), group)
    if found.get("value") is None:
        return "–"
    ci = found.get("ci")
    return f"{found['value']:.3f}" + (f" [{ci[0]:.2f}, {ci[1]:.2f}]" if ci else "")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit("give: COLUMN METRIC EVALUATION [EVALUATION ...]")
    print(table(sys.argv[1], sys.argv[2], [Path(name) for name in sys.argv[3:]]))
