"""Which columns of a leaderboard rank its rows, and which are worth showing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# The first that a cohort has ranks its rows: there may be no masks, and several modalities.
RANKING = {
    "voxel_ap": "voxel AP",
    "image_auroc_within": "image AUROC within modality",
    "image_auroc": "image AUROC",
}


def has(row: Mapping[str, Any], column: str) -> bool:
    """Whether a row, of numbers or read back from `leaderboard.csv`, has a value there."""
    return row.get(column) not in (None, "")


def shows(row: Mapping[str, Any], column: str) -> bool:
    """Whether a row needs the column: of two image AUROCs, that within modalities is the one to read."""
    return has(row, column) and not (column == "image_auroc" and has(row, "image_auroc_within"))


def ranking_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """The column of `RANKING` that ranks the rows of a cohort."""
    return next((column for column in RANKING if any(has(row, column) for row in rows)), "image_auroc")
