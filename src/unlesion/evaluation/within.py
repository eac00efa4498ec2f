"""Image AUROC within modalities: scan scores of different modalities need not compare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlesion.evaluation.bootstrap import Bootstrap
from unlesion.evaluation.estimate import with_interval
from unlesion.evaluation.images import ImageScores, ScanTable
from unlesion.evaluation.metric import Metric, undefined
from unlesion.evaluation.ranking import auroc

Floats = NDArray[np.float64]

NAME = "auroc_within_modality"
PLACE = f"image.{NAME}"


class WithinModality:
    """The mean of the modalities' AUROCs, each weighted by its number of anomalous scans.

    That is the area under the covariate-adjusted ROC curve (Janes and Pepe, "Adjusting for covariate effects
    on classification accuracy using the covariate-adjusted receiver operating characteristic curve",
    Biometrika 96, 2009). A modality whose scans are all healthy or all anomalous has no part in it.

    Args:
        tables: scores of each modality's scans, by its name.

    Attributes:
        used: those with scans of both kinds, by name.
        left_out: names of the others.
        subjects: of the used modalities, sorted.
        columns: by used modality, the places of its subjects among them.
        carriers: number of subjects without which there would be no value.
    """

    def __init__(self, tables: Mapping[str, ScanTable]) -> None:
        self.used = {
            name: t for name, t in sorted(tables.items()) if t.anomalous.any() and not t.anomalous.all()
        }
        self.left_out = [name for name in sorted(tables) if name not in self.used]
        self.subjects = tuple(sorted({subject for table in self.used.values() for subject in table.subjects}))
        place = {subject: index for index, subject in enumerate(self.subjects)}
        self.columns = {name: [place[s] for s in table.subjects] for name, table in self.used.items()}
        self.carriers = min(len(self._subjects(anomalous=side)) for side in (True, False))
        self._areas = {name: table.statistic(auroc) for name, table in self.used.items()}

    def of_weights(self, weights: Floats) -> Floats:
        """(R,) values for (R, K) weights of `subjects`; NaN where no modality has scans of both kinds."""
        areas = {name: area(weights[:, self.columns[name]]) for name, area in self._areas.items()}
        return self.mean(areas, weights)

    def mean(self, areas: Mapping[str, Floats], weights: Floats) -> Floats:
        """(R,) mean of (R,) values of the used modalities; (R, K) or (1, K) weights of `subjects`.

        A modality counts by its anomalous scans; where its value is NaN it has no part.
        """
        total, gained = np.zeros(len(weights)), np.zeros(len(weights))
        for name, table in self.used.items():
            own = weights[:, self.columns[name]]
            sick = own[:, table.owner] @ table.anomalous.astype(np.float64)
            # A replicate may hold one kind only of a modality.
            defined = np.isfinite(areas[name])
            gained = gained + np.where(defined, areas[name] * sick, 0.0)
            total = total + np.where(defined, sick, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            out: Floats = gained / total
        return out

    def _subjects(self, *, anomalous: bool) -> set[str]:
        return {
            table.subjects[owner]
            for table in self.used.values()
            for owner in table.owner[table.anomalous == anomalous].tolist()
        }


def auroc_within(parts: Mapping[str, ImageScores], bootstrap: Bootstrap) -> Metric:
    """Chance that an anomalous scan outscores a healthy scan of its own modality, ties counting half.

    Args:
        parts: scores of each modality's scans, by its name.
        bootstrap: how the interval is made; a subject is drawn with its scans of all modalities.
    """
    within = WithinModality(tables_of(parts))
    counts = {
        "examinations": {
            name: {"anomalous": int(t.anomalous.sum()), "healthy": int((~t.anomalous).sum())}
            for name, t in within.used.items()
        },
        "left_out": within.left_out,
    }
    if not within.used:
        return undefined("no modality with both healthy and anomalous scans", **counts)
    return with_interval(
        float(within.of_weights(np.ones((1, len(within.subjects))))[0]),
        within.of_weights,
        bootstrap,
        subjects=len(within.subjects),
        carriers=within.carriers,
        why="undefined",
        extra=counts,
    )


def tables_of(parts: Mapping[str, ImageScores]) -> dict[str, ScanTable]:
    """The scan table of each modality, by name."""
    return {name: parts[name].table() for name in sorted(parts)}


def to_arrays(tables: Mapping[str, ScanTable], prefix: str) -> dict[str, NDArray[Any]]:
    """The modalities' tables as plain arrays, for `numpy.savez`."""
    out: dict[str, NDArray[Any]] = {f"{prefix}.modalities": np.asarray(list(tables), dtype=np.str_)}
    for number, table in enumerate(tables.values()):
        out.update(table.to_arrays(f"{prefix}.{number}"))
    return out


def from_arrays(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, ScanTable]:
    """From `to_arrays`; empty where the arrays have no modalities, KeyError if a part of one is missing."""
    place = f"{prefix}.modalities"
    names = [str(name) for name in arrays[place]] if place in arrays else []
    return {name: ScanTable.from_arrays(arrays, f"{prefix}.{number}") for number, name in enumerate(names)}
