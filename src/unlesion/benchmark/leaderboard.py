"""`leaderboard.csv` and `leaderboard.md`: one row per method, cohort and seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from unlesion.errors import BadInput
from unlesion.files import write_table, write_text
from unlesion.report.bench_columns import ranking_of, shows
from unlesion.report.files import read_rows
from unlesion.wording import count

# Column -> path in metrics.json. A metric gives three columns: value, lower and upper end.
METRICS = {
    "voxel_ap": ("voxel", "ap"),
    "voxel_ap_raw": ("voxel", "ap_raw"),
    "voxel_ap_scan": ("voxel", "ap_scan"),
    "voxel_auroc": ("voxel", "auroc"),
    "voxel_prevalence": ("voxel", "prevalence"),
    "dice_at_fpr_001": ("voxel", "dice_at_fpr", "fpr_001"),
    "dice_oracle": ("voxel", "dice_oracle"),
    "realised_fpr_001": ("realised_fpr", "fpr_001"),
    "image_auroc": ("image", "auroc"),
    "image_auroc_within": ("image", "auroc_within_modality"),
    "image_ap": ("image", "ap"),
    "lesion_f1": ("lesion", "f1"),
    "healthy_mae": ("healthy", "mae"),
    "healthy_ssim": ("healthy", "ssim"),
    "twin_gain": ("twin", "gain"),
    "shared_voxel_ap": ("shared", "voxel", "ap"),
    "shared_image_auroc": ("shared", "image", "auroc"),
    "shared_image_auroc_within": ("shared", "image", "auroc_within_modality"),
}

FIRST = ("cohort", "method", "preset", "seed", "status", "sign", "steps", "train_minutes")
VERSUS = (
    "versus_metric",
    "versus_label",
    "versus_reference",
    "versus_lo",
    "versus_hi",
    "versus_p",
    "versus_note",
)
LAST = (*VERSUS, "left_out", "repeat", "problem")


def write_csv(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write all rows with all columns."""
    metrics = [f"{name}{end}" for name in METRICS for end in ("", "_lo", "_hi")]
    write_table(path, (*FIRST, *metrics, *LAST), rows, ignore_others=True)


def read_csv(path: Path) -> list[dict[str, Any]]:
    """The rows of an earlier `write_csv`; none where there is no such file, or a damaged one."""
    try:
        return [{name: _value(name, text) for name, text in row.items()} for row in read_rows(path)]
    except (BadInput, ValueError):
        return []


def _value(name: str, text: str) -> Any:
    if not text:
        return None
    if name in ("seed", "steps", "left_out"):
        return int(text)
    is_number = name.removesuffix("_lo").removesuffix("_hi") in METRICS or name in (
        "train_minutes", "versus_reference", "versus_lo", "versus_hi", "versus_p",
    )  # fmt: skip
    return float(text) if is_number else text


def flatten(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of METRICS out of a metrics.json."""
    flat: dict[str, Any] = {}
    for name, place in METRICS.items():
        found: Any = metrics
        for part in place:
            found = found.get(part) if isinstance(found, Mapping) else None
        if isinstance(found, Mapping):
            flat[name] = found.get("value")
            low, high = found.get("ci") or (None, None)
            flat[f"{name}_lo"], flat[f"{name}_hi"] = low, high
    return flat


def markdown(rows: Sequence[Mapping[str, Any]], *, command: str) -> str:
    """A table per cohort for people; metrics that are undefined everywhere are left out."""
    shown = {
        "voxel_ap": "voxel AP",
        "voxel_ap_raw": "AP, no post-processing",
        "shared_voxel_ap": "AP, shared scoring",
        "dice_at_fpr_001": "Dice at 1 % healthy FPR",
        "realised_fpr_001": "realised FPR (asked: 1 %)",
        "dice_oracle": "best Dice (oracle)",
        "image_auroc_within": "image AUROC within modality",
        "image_auroc": "image AUROC",
        "twin_gain": "twin gain",
    }
    parts = [f"Made by `{command}`. Intervals: 95 %, bootstrap over subjects. For research use only.\n"]
    for cohort in dict.fromkeys(row["cohort"] for row in rows):
        mine = [row for row in rows if row["cohort"] == cohort]
        mine.sort(key=_rank(mine))
        columns = [name for name in shown if any(shows(row, name) for row in mine)]
        versus = list(dict.fromkeys(row["versus_metric"] for row in mine if row.get("versus_metric")))
        heads = ["method", "preset", "seed", "steps", "sign", *(shown[name] for name in columns)]
        label = next((row["versus_label"] for row in mine if row.get("versus_label")), "reference")
        heads += [f"{' or '.join(versus)} minus {label} (paired)"] if versus else []
        parts.append(f"## {cohort}\n")
        parts.append("| " + " | ".join(heads) + " |")
        parts.append("|" + "---|" * len(heads))
        for row in mine:
            if row["status"] != "done":
                parts.append(
                    f"| {row['method']} | {row['preset']} | {row['seed']} | failed: {row['problem']} |"
                )
                continue
            cells = [
                row["method"],
                row["preset"],
                row["seed"],
                row.get("steps") or "–",
                row.get("sign") or "–",
            ]
            cells += [_cell(row, name) for name in columns]
            if versus:
                cells.append(_versus(row))
            parts.append("| " + " | ".join(map(str, cells)) + " |")
        parts.append("")
        notes = [
            f"- {row['method']}, seed {row['seed']}: {row['versus_note']}"
            for row in mine
            if row.get("versus_note")
        ]
        notes += [
            f"- {row['method']}, seed {row['seed']}: {count(row['left_out'], 'scan')} could not be used"
            for row in mine
            if row.get("left_out")
        ]
        parts += [*notes, ""] if notes else []
    return "\n".join(parts)


def write_markdown(rows: Sequence[Mapping[str, Any]], path: Path, *, command: str) -> None:
    """Write `markdown`."""
    write_text(path, "# Leaderboard\n\n" + markdown(rows, command=command))


def _rank(rows: Sequence[Mapping[str, Any]]) -> Callable[[Mapping[str, Any]], tuple[float, str]]:
    """What sorts the rows of a cohort: best first by one metric, those without it last."""
    by = ranking_of(rows)

    def key(row: Mapping[str, Any]) -> tuple[float, str]:
        return (1.0 if row.get(by) is None else -float(row[by])), str(row["method"])

    return key


def _cell(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if value is None:
        return "–"
    low, high = row.get(f"{name}_lo"), row.get(f"{name}_hi")
    return f"{value:.3f}" if low is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _versus(row: Mapping[str, Any]) -> str:
    value = row.get("versus_reference")
    if value is None:
        return "–"
    low, high = row.get("versus_lo"), row.get("versus_hi")
    return f"{value:+.3f}" if low is None else f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"
