"""The page of a benchmark: a table, intervals and the same scans through every method, per cohort."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from unlesion.errors import BadInput
from unlesion.report.bench_columns import RANKING, ranking_of, shows
from unlesion.report.bench_pictures import pictures_of
from unlesion.report.curves import intervals
from unlesion.report.files import read_rows, real
from unlesion.report.gallery import Gallery
from unlesion.report.numbers import plain
from unlesion.report.page import PICTURE_BYTES, Budget, write_page
from unlesion.wording import count

# Cohort, method, seed.
Cell = tuple[str, str, str]

# In the folder of an evaluation: the same scans for every method of a cohort.
SAME_SCANS = "same_scans"

# Column of leaderboard.csv, heading, words.
COLUMNS = (
    ("voxel_ap", "voxel AP", "how well the map ranks lesion voxels above all others"),
    ("shared_voxel_ap", "AP, shared", "the same for the plain difference of scan and pseudo-healthy image"),
    (
        "dice_at_fpr_001",
        "Dice at 1 %",
        "overlap at the threshold that 1 % of healthy voxels are meant to exceed",
    ),
    ("realised_fpr_001", "realised FPR", "share of healthy test voxels that really exceed it"),
    ("dice_oracle", "best Dice (oracle)", "at the threshold that suits the test lesions best"),
    ("lesion_f1", "lesion F1", "each lesion counted once"),
    (
        "image_auroc_within",
        "image AUROC within modality",
        "a scan with lesions outscores a healthy one of its modality; 0.5 is chance",
    ),
    ("image_auroc", "image AUROC", "a scan with lesions outscores a healthy one; 0.5 is chance"),
    ("healthy_ssim", "healthy SSIM", "how much a healthy scan stays as it is"),
    ("twin_gain", "healing", "1 is the true healthy twin, 0 is doing nothing"),
)


def write_bench_page(
    path: Path,
    *,
    rows: Sequence[Mapping[str, str]],
    commands: Sequence[str] = (),
    galleries: Mapping[Cell, Gallery] | None = None,
) -> Path:
    """Write the page of a benchmark.

    Args:
        path: the HTML file.
        rows: of `leaderboard.csv`.
        commands: that made it.
        galleries: by cohort, method and seed what was made of the same scans; rows without are named.
    """
    cohorts = list(dict.fromkeys(row.get("cohort") or "" for row in rows))
    # Every cohort has its part: the first ones would take all of it.
    room = PICTURE_BYTES // max(1, len(cohorts))
    failed = [row for row in rows if row.get("status") not in ("done", None)]
    return write_page(
        path,
        "bench.html.j2",
        title="Leaderboard",
        subtitle=f"{count(len({row.get('method') for row in rows}), 'method')} · "
        f"{count(len(cohorts), 'cohort')} · {count(len({row.get('seed') for row in rows}), 'seed')}",
        tables=[
            _cohort(
                name,
                [row for row in rows if (row.get("cohort") or "") == name],
                galleries or {},
                Budget(room),
            )
            for name in cohorts
        ],
        meanings=[
            (name, words) for column, name, words in COLUMNS if any(shows(row, column) for row in rows)
        ],
        failed=[(_name(row), row.get("cohort") or "", row.get("problem") or "") for row in failed],
        commands=list(commands),
    )


def bench_files(folder: Path) -> dict[str, Any]:
    """What `write_bench_page` needs, as found in the output of `bench`."""
    words = folder / "leaderboard.md"
    made = re.search(r"Made by `([^`\n]+)`", words.read_text(encoding="utf-8")) if words.exists() else None
    rows = read_rows(folder / "leaderboard.csv")
    galleries = {}
    for cohort, method, seed in map(_cell_of, rows):
        shown = folder / "evaluations" / cohort / f"{method}-seed{seed}" / SAME_SCANS
        if (shown / "gallery.json").exists():
            # Damaged pictures cost the page nothing but themselves.
            with suppress(BadInput):
                galleries[cohort, method, seed] = Gallery.load(shown)
    return {"rows": rows, "commands": [made.group(1)] if made else [], "galleries": galleries}


def _cell_of(row: Mapping[str, str]) -> Cell:
    return row.get("cohort") or "", row.get("method") or "", row.get("seed") or ""


def _cohort(
    name: str, rows: Sequence[Mapping[str, str]], galleries: Mapping[Cell, Gallery], budget: Budget
) -> dict[str, Any]:
    done = [row for row in rows if row.get("status") in ("done", None)]
    ranking = ranking_of(done)
    done.sort(
        key=lambda row: (-(value if (value := real(row.get(ranking))) is not None else -1.0), _name(row))
    )
    several = len({row.get("seed") for row in done}) > 1
    columns = [(column, title) for column, title, _ in COLUMNS if any(shows(row, column) for row in done)]
    reference = _mean([real(row.get("voxel_prevalence")) for row in done]) if ranking == "voxel_ap" else 0.5
    versus = any(row.get("versus_reference") for row in done)
    return {
        "name": name,
        "columns": [title for _, title in columns],
        "versus": versus,
        "versus_of": " or ".join(
            dict.fromkeys(metric for row in done if (metric := row.get("versus_metric")))
        ),
        "several_seeds": several,
        "versus_to": " or ".join(dict.fromkeys(label for row in done if (label := row.get("versus_label"))))
        or "reference",
        "notes": [
            *(f"{_name(row)}: {row['versus_note']}" for row in done if row.get("versus_note")),
            *(
                f"{_name(row)}: {count(int(left_out), 'test scan')} could not be used; the others are all that its numbers rest on."
                for row in done
                if (left_out := real(row.get("left_out")))
            ),
        ],
        "rows": [
            {
                "method": _name(row),
                "setting": " · ".join(_setting(row)),
                "cells": [_cell(row, column) for column, _ in columns],
                "versus": _cell(row, "versus_reference", "versus", sign="+"),
                "repeat": row.get("repeat") or "",
            }
            for row in done
        ],
        "figure": intervals(
            [
                (_name(row) + (f", seed {row.get('seed')}" if several else ""), value, _ends(row, ranking))
                for row in done
                if (value := real(row.get(ranking))) is not None
            ],
            label=RANKING[ranking],
            reference=reference,
            reference_label="guessing",
        ),
        "pictures": pictures_of(_first_seeds(done, galleries), budget),
        "words": "Sorted by "
        + RANKING[ranking]
        + ", with 95 % intervals by bootstrap over subjects; overlapping intervals do not mean that two "
        "methods are equal, the paired difference says that.",
    }


def _first_seeds(
    rows: Sequence[Mapping[str, str]], galleries: Mapping[Cell, Gallery]
) -> list[tuple[str, Gallery | None]]:
    """The methods in the order of the rows, each with the pictures of its lowest seed: not of the one that did best."""
    found: dict[str, Gallery] = {}
    for row in sorted(rows, key=lambda row: real(row.get("seed")) or 0.0):
        if (gallery := galleries.get(_cell_of(row))) is not None:
            found.setdefault(_name(row), gallery)
    return [(name, found.get(name)) for name in dict.fromkeys(map(_name, rows))]


def _name(row: Mapping[str, str]) -> str:
    return row.get("method") or "?"


def _setting(row: Mapping[str, str]) -> list[str]:
    minutes = real(row.get("train_minutes"))
    parts = [
        row.get("preset") or "",
        f"seed {row['seed']}" if row.get("seed") else "",
        f"{row['steps']} steps" if row.get("steps") else "",
        f"{minutes:.1f} min" if minutes else "",
        {"both": "both signs"}.get(row["sign"], f"{row['sign']} only") if row.get("sign") else "",
    ]
    return [part for part in parts if part]


def _cell(row: Mapping[str, str], column: str, ends: str | None = None, sign: str = "") -> tuple[str, str]:
    """A value and its interval, apart so that they can stand on two lines."""
    value = real(row.get(column))
    if value is None:
        return "–", ""
    low_high = _ends(row, ends or column)
    lead = sign if value > 0 else ""
    return lead + plain(value), "" if low_high is None else f"{plain(low_high[0])} to {plain(low_high[1])}"


def _ends(row: Mapping[str, str], column: str) -> tuple[float, float] | None:
    low, high = real(row.get(f"{column}_lo")), real(row.get(f"{column}_hi"))
    return None if low is None or high is None else (low, high)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
