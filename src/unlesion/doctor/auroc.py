"""AUROC of one predictor, with an interval by bootstrap over subjects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unlesion.evaluation.bootstrap import Bootstrap
from unlesion.evaluation.ranking import auroc

Floats = NDArray[np.float64]

# Each label needs so many subjects; below, chance alone separates them well.
FEWEST_SUBJECTS = 5

# Intervals need no more for two digits.
REPLICATES = 400


@dataclass(frozen=True)
class Separation:
    """AUROC (0.5: says nothing; 0 and 1 tell all), 95 % interval, number of images and of subjects."""

    auroc: float
    interval: tuple[float, float] | None
    images: int
    subjects: int


def separation(
    values: Floats, anomalous: NDArray[np.bool_], subjects: Sequence[str], *, seed: int = 0
) -> Separation:
    """How well a number tells anomalous images from healthy ones.

    Args:
        values: (N,), finite.
        anomalous: (N,) bool, both kinds present.
        subjects: N; the bootstrap draws subjects, since slices of one are nearly equal.
        seed: of the bootstrap.
    """
    names, owner = np.unique(np.asarray(subjects), return_inverse=True)
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.diff(values[order], prepend=-np.inf) > 0)
    positive = anomalous[order].astype(np.float64)

    def statistic(weights: Floats) -> Floats:
        rows = weights[:, owner[order]]
        positives = np.add.reduceat(rows * positive, starts, axis=1)
        return auroc(positives, np.add.reduceat(rows, starts, axis=1) - positives)

    value = float(statistic(np.ones((1, len(names))))[0])
    sides = [len(set(owner[anomalous == side].tolist())) for side in (True, False)]
    interval = None
    if min(sides) >= FEWEST_SUBJECTS:
        interval = Bootstrap(replicates=REPLICATES, seed=seed).interval(statistic, len(names))
    return Separation(value, interval, len(values), len(names))
