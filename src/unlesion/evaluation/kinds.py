"""Counts of every kind of scan in a file of their own, from which groups can be compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlesion.calibration import RATES
from unlesion.evaluation.groups import COLUMNS, OF_LESIONS, Cell
from unlesion.evaluation.images import ImageScores
from unlesion.evaluation.stratum import Stratum
from unlesion.evaluation.voxels import VoxelCounts

# Between subject and number of the cell in one name.
_MARK = "\x1f"


def arrays_of_kinds(strata: Mapping[Cell, Stratum]) -> dict[str, NDArray[Any]]:
    """All strata as plain arrays, for `numpy.savez`."""
    cells = sorted(strata)
    out: dict[str, NDArray[Any]] = {
        "columns": np.asarray(COLUMNS, dtype=np.str_),
        "cells": np.asarray(cells, dtype=np.str_).reshape(len(cells), len(COLUMNS)),
    }
    for name in next(iter(strata.values())).tallies:
        voxels, dice = VoxelCounts(), dict[str, NDArray[np.int64]]()
        rows: list[tuple[str, str, int, float, bool]] = []
        for number, cell in enumerate(cells):
            tally = strata[cell].tallies[name]
            for subject in tally.voxels.lesion:
                voxels.add(
                    f"{subject}{_MARK}{number}", tally.voxels.lesion[subject], tally.voxels.other[subject]
                )
            dice.update({f"{subject}{_MARK}{number}": counts for subject, counts in tally.dice.items()})
            rows += [(*scan, number, score, sick) for *scan, score, sick in tally.images.rows()]  # type: ignore[misc]
        out.update(voxels.to_arrays(f"{name}.voxels"))
        out[f"{name}.dice.subjects"] = np.asarray(list(dice), dtype=np.str_)
        out[f"{name}.dice.counts"] = np.asarray(list(dice.values()), dtype=np.int64).reshape(
            -1, len(RATES), 3
        )
        for place, (part, kind) in enumerate(
            (
                ("subjects", np.str_),
                ("scans", np.str_),
                ("cells", np.int64),
                ("score", np.float64),
                ("sick", bool),
            )
        ):
            out[f"{name}.images.{part}"] = np.asarray([row[place] for row in rows], dtype=kind)
    return out


@dataclass(frozen=True, kw_only=True, eq=False)
class Kind:
    """The counts of one group, for one scoring.

    Attributes:
        voxels: per subject, of the group's scans alone.
        dice: per subject (4 rates, 3): TP, FP, FN.
        images: scores of the group's scans; of all healthy scans too where a group holds anomalous ones.
    """

    voxels: VoxelCounts
    dice: dict[str, NDArray[np.int64]]
    images: ImageScores


def kind_of(arrays: Mapping[str, NDArray[Any]], *, scoring: str, column: str, group: str) -> Kind:
    """One group out of `arrays_of_kinds`; KeyError or ValueError where that is damaged."""
    place = [str(name) for name in arrays["columns"]].index(column)
    mine = {number for number, cell in enumerate(arrays["cells"]) if str(cell[place]) == group}
    split = VoxelCounts.from_arrays(arrays, f"{scoring}.voxels")
    parts: list[VoxelCounts] = []
    for name in split.lesion:
        subject, number = name.rsplit(_MARK, 1)
        if int(number) in mine:
            parts.append(
                VoxelCounts(lesion={subject: split.lesion[name]}, other={subject: split.other[name]})
            )
    dice: dict[str, NDArray[np.int64]] = {}
    for name, counts in zip(
        arrays[f"{scoring}.dice.subjects"], arrays[f"{scoring}.dice.counts"], strict=True
    ):
        subject, number = str(name).rsplit(_MARK, 1)
        if int(number) in mine:
            dice[subject] = dice[subject] + counts if subject in dice else counts
    everything, images = ImageScores(), ImageScores()
    part = {
        name: arrays[f"{scoring}.images.{name}"] for name in ("subjects", "scans", "cells", "score", "sick")
    }
    for who, scan, number, score, sick in zip(*part.values(), strict=True):
        everything.add(str(who), str(scan), float(score), anomalous=bool(sick))
        if int(number) in mine:
            images.add(str(who), str(scan), float(score), anomalous=bool(sick))
    if column in OF_LESIONS:
        images = everything.among(images.examinations)
    return Kind(voxels=VoxelCounts.sum(parts), dice=dice, images=images)
