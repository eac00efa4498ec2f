"""Results by group: the same metrics for every kind of scan, from the counts of its strata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unlesion.evaluation.bootstrap import FEWEST_SUBJECTS, Bootstrap
from unlesion.evaluation.groups import COLUMNS, OF_LESIONS, Cell, groups_of
from unlesion.evaluation.stratum import Stratum

HOLDS = {
    True: "anomalous scans; image.auroc is between them and all healthy scans",
    False: "healthy and anomalous scans; all metrics are within the group",
}


def by_group(
    strata: Mapping[Cell, Stratum], whole: Stratum, bootstrap: Bootstrap
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Metrics of every group of every column that tells at least two groups apart.

    Args:
        strata: counts of the scans of every cell.
        whole: all strata together.
        bootstrap: how intervals are made.

    Returns:
        Metrics by column and group; and by column, what its groups hold and which scans are in none.
    """
    found: dict[str, Any] = {}
    told: dict[str, Any] = {}
    if "native" not in whole.tallies:
        return found, told
    numbers = {cell: stratum.scans for cell, stratum in strata.items()}
    for column in COLUMNS:
        groups, beyond = groups_of(numbers, column)
        if len(groups) < 2:
            continue
        of_lesions = column in OF_LESIONS
        parts = {name: Stratum.sum([strata[cell] for cell in cells]) for name, cells in groups.items()}
        found[column] = {
            name: _metrics(part, whole, bootstrap, of_lesions=of_lesions) for name, part in parts.items()
        }
        left_out = sum(number for cell, number in numbers.items() if cell[COLUMNS.index(column)] in beyond)
        in_question = whole.anomalous if of_lesions else whole.scans
        told[column] = {
            "holds": HOLDS[of_lesions],
            "scans_in_no_group": in_question - sum(part.scans for part in parts.values()) - left_out,
            **({"groups_left_out": beyond} if beyond else {}),
        }
    return found, told


def _metrics(part: Stratum, whole: Stratum, bootstrap: Bootstrap, *, of_lesions: bool) -> dict[str, Any]:
    tally = part.tallies["native"]
    examinations = tally.images
    if of_lesions:
        examinations = whole.tallies["native"].images.among(part.examinations)
    shared = part.tallies.get("shared")
    found = tally.brief(bootstrap, examinations=examinations, healthy=not of_lesions)
    if of_lesions and len(part.subjects) < FEWEST_SUBJECTS:
        # However many healthy subjects they stand against, the group is these few.
        found["image"]["auroc"] = found["image"]["auroc"].without_interval(
            f"fewer than {FEWEST_SUBJECTS} subjects in the group"
        )
    return {
        "n": part.numbers(),
        **found,
        **({} if of_lesions else {"healthy": {"mae": part.healthy_metrics(bootstrap)["mae"]}}),
        "twin": part.twin_metrics(bootstrap),
        **({} if shared is None else {"shared": {"voxel": {"ap": shared.ap(bootstrap)}}}),
    }
