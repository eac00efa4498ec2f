"""Groups: which kinds of scans an evaluation tells apart, and to which of them a scan belongs."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unlesion.evaluation.scan import EvaluatedScan

COLUMNS = ("pathology", "size_band", "modality", "source", "site", "sex", "age_band")
"""What results are grouped by, in the order in which they are written."""

OF_LESIONS = frozenset({"pathology", "size_band"})
"""Columns whose groups hold anomalous scans only, because a healthy scan has no such value."""

AGE_BANDS = ("<20", "20-39", "40-59", "60-79", "80+")
SIZE_BANDS = ("<0.1 ml", "0.1-1 ml", "1-5 ml", "5-20 ml", ">20 ml")
SHARE_BANDS = ("<0.5 % of roi", "0.5-2 % of roi", "2-5 % of roi", "5-15 % of roi", ">15 % of roi")

MOST_GROUPS = 24
"""The largest groups of a column that are measured: a hundred sites are no table that anybody reads."""

# A scan's values in all of COLUMNS, "" where it has none.
Cell = tuple[str, ...]

_AGE_ENDS = (20.0, 40.0, 60.0, 80.0)
_SIZE_ENDS = (0.1, 1.0, 5.0, 20.0)
_SHARE_ENDS = (0.005, 0.02, 0.05, 0.15)

# What manifests and BIDS write where nothing is known.
_UNKNOWN = frozenset({"", "n/a", "na", "nan", "none", "unknown", "?"})

_ORDER = {name: place for place, name in enumerate((*AGE_BANDS, *SIZE_BANDS, *SHARE_BANDS))}


def cell_of(scan: EvaluatedScan) -> Cell:
    """A scan's value in each of `COLUMNS`, "" where it has none."""
    sick = scan.label == "anomalous"
    values = {
        **{name: _known(scan.columns.get(name, "")) for name in ("modality", "source", "site", "sex")},
        "pathology": _known(scan.pathology) if sick else "",
        "size_band": size_band(scan) if sick else "",
        "age_band": age_band(scan.columns.get("age", "")),
    }
    return tuple(values[name] for name in COLUMNS)


def age_band(text: str) -> str:
    """The band of an age in years such as "54", "54.5", "89+" or "054Y"; "" where it is none."""
    found = re.fullmatch(r"\s*(\d{1,3}(?:\.\d+)?)\s*[+yY]?\s*", text)
    return "" if found is None else AGE_BANDS[_place(float(found.group(1)), _AGE_ENDS)]


def size_band(scan: EvaluatedScan) -> str:
    """How large the lesions of a scan are together.

    In ml on the scan's own grid where that is known. A single slice shows an area and no volume; there,
    and where the spacing is unknown, the column `size_ml` counts, and without it the share of the roi.

    Returns:
        One of `SIZE_BANDS` or `SHARE_BANDS`; "" where the size is unknown or no lesion is inside the roi.
    """
    truth = scan.truth
    marked = None if truth is None else int(truth.sum())
    if marked == 0:
        return ""
    if marked is not None and scan.voxel_ml is not None:
        return SIZE_BANDS[_place(marked * scan.voxel_ml, _SIZE_ENDS)]
    given = _number(scan.columns.get("size_ml", ""))
    if given is not None and given > 0:
        return SIZE_BANDS[_place(given, _SIZE_ENDS)]
    return "" if marked is None else SHARE_BANDS[_place(marked / int(scan.roi.sum()), _SHARE_ENDS)]


def band_of_ml(volume: float) -> int:
    """The place among `SIZE_BANDS` of a volume in ml."""
    return _place(volume, _SIZE_ENDS)


def groups_of(cells: Mapping[Cell, int], column: str) -> tuple[dict[str, list[Cell]], list[str]]:
    """The groups of a column.

    Args:
        cells: number of scans in each cell.
        column: one of `COLUMNS`.

    Returns:
        The cells of each group, bands in their own order and other names alphabetically; and the groups
        beyond the `MOST_GROUPS` largest, which are left out.
    """
    place = COLUMNS.index(column)
    groups: dict[str, list[Cell]] = {}
    for cell in sorted(cells):
        if cell[place]:
            groups.setdefault(cell[place], []).append(cell)
    largest = sorted(groups, key=lambda name: (-sum(cells[cell] for cell in groups[name]), name))
    kept = set(largest[:MOST_GROUPS])
    return {name: groups[name] for name in _sorted(kept)}, _sorted(largest[MOST_GROUPS:])


def _sorted(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: (_ORDER.get(name, -1), name.casefold(), name))


def _place(value: float, ends: Sequence[float]) -> int:
    """Which band a value falls in; a value at an end belongs above it."""
    return sum(value >= end for end in ends)


def _known(text: str) -> str:
    return "" if text.strip().casefold() in _UNKNOWN else text.strip()


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
