"""Image AUROC within modalities: scan scores of different modalities need not compare."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from unlesion.evaluation.bootstrap import Bootstrap
from unlesion.evaluation.estimate import with_interval
from unlesion.evaluation.images import ImageScores, ScanTable
from unlesion.evaluation.metric import Metric, undefined
from unlesion.evaluation.ranking import auroc

Floats = NDArray[np.float64]

NAME = "auroc_within_modality"


def auroc_within(parts: Mapping[str, ImageScores], bootstrap: Bootstrap) -> Metric:
    """Chance that an anomalous scan outscores a healthy scan of its own modality, ties counting half.

    That is the mean of the modalities' AUROCs, each weighted by its number of anomalous scans: the area
    under the covariate-adjusted ROC curve (Janes and Pepe, "Adjusting for covariate effects on
    classification accuracy using the covariate-adjusted receiver operating characteristic curve",
    Biometrika 96, 2009). A modality whose scans are all healthy or all anomalous has no part in it.

    Args:
        parts: scores of each modality's scans, by its name.
        bootstrap: how the interval is made; a subject is drawn with its scans of all modalities.
    """
    tables = {name: images.table() for name, images in sorted(parts.items())}
    used = {name: t for name, t in tables.items() if t.anomalous.any() and not t.anomalous.all()}
    counts = {
        "examinations": {
            name: {"anomalous": int(t.anomalous.sum()), "healthy": int((~t.anomalous).sum())}
            for name, t in used.items()
        },
        "left_out": [name for name in tables if name not in used],
    }
    if not used:
        return undefined("no modality with both healthy and anomalous scans", **counts)
    subjects = sorted({subject for table in used.values() for subject in table.subjects})
    place = {subject: index for index, subject in enumerate(subjects)}
    columns = {name: [place[subject] for subject in t.subjects] for name, t in used.items()}

    def statistic(weights: Floats) -> Floats:
        total, gained = np.zeros(len(weights)), np.zeros(len(weights))
        for name, table in used.items():
            own = weights[:, columns[name]]
            area = table.statistic(auroc)(own)
            sick = own[:, table.owner] @ table.anomalous.astype(np.float64)
            # A replicate may hold one kind only of a modality.
            defined = np.isfinite(area)
            gained += np.where(defined, area * sick, 0.0)
            total += np.where(defined, sick, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            out: Floats = gained / total
        return out

    return with_interval(
        float(statistic(np.ones((1, len(subjects))))[0]),
        statistic,
        bootstrap,
        subjects=len(subjects),
        carriers=min(len(_subjects(used, anomalous=side)) for side in (True, False)),
        why="undefined",
        extra=counts,
    )


def _subjects(tables: Mapping[str, ScanTable], *, anomalous: bool) -> set[str]:
    return {
        table.subjects[owner]
        for table in tables.values()
        for owner in table.owner[table.anomalous == anomalous].tolist()
    }
