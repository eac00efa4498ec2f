"""Images: how well the scan score tells anomalous scans from healthy ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from unlesion.evaluation.bootstrap import Bootstrap
from unlesion.evaluation.estimate import with_interval
from unlesion.evaluation.metric import Metric, undefined
from unlesion.evaluation.ranking import auroc, average_precision

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class ScanTable:
    """One row a scan (all rows of the cohort with one subject and scan_id).

    Attributes:
        subjects: names, sorted.
        owner: (N,) index into `subjects`.
        score: (N,) mean of the rows' scores: a scan with more slices is not more unusual for it.
        anomalous: (N,) bool, True if any of its rows is.
    """

    subjects: tuple[str, ...]
    owner: NDArray[np.int64]
    score: Floats
    anomalous: NDArray[np.bool_]

    def statistic(self, function: Callable[[Floats, Floats], Floats]) -> Callable[[Floats], Floats]:
        """A ranking metric of (positives, negatives) as a statistic of (R, K) subject weights."""
        order = np.argsort(self.score, kind="stable")
        starts = np.flatnonzero(np.diff(self.score[order], prepend=-np.inf) > 0)
        positive = self.anomalous[order].astype(np.float64)

        def of_weights(weights: Floats) -> Floats:
            per_scan = weights[:, self.owner[order]]
            positives = np.add.reduceat(per_scan * positive, starts, axis=1)
            negatives = np.add.reduceat(per_scan * (1 - positive), starts, axis=1)
            return function(positives, negatives)

        return of_weights


@dataclass(eq=False)
class ImageScores:
    """Scores of the rows of every scan, gathered one row at a time."""

    _rows: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    _anomalous: set[tuple[str, str]] = field(default_factory=set)

    def add(self, subject: str, scan_id: str, score: float, *, anomalous: bool) -> None:
        """Take in one row."""
        self._rows.setdefault((subject, scan_id), []).append(score)
        if anomalous:
            self._anomalous.add((subject, scan_id))

    def table(self) -> ScanTable:
        """One row a scan."""
        subjects = sorted({subject for subject, _ in self._rows})
        place = {subject: index for index, subject in enumerate(subjects)}
        scans = sorted(self._rows)
        return ScanTable(
            subjects=tuple(subjects),
            owner=np.asarray([place[subject] for subject, _ in scans], dtype=np.int64),
            score=np.asarray([np.mean(self._rows[scan]) for scan in scans], dtype=np.float64),
            anomalous=np.asarray([scan in self._anomalous for scan in scans], dtype=bool),
        )


def image_metrics(table: ScanTable, bootstrap: Bootstrap) -> dict[str, Metric]:
    """AUROC and AP over scans."""
    if table.anomalous.all() or not table.anomalous.any():
        kind = "anomalous" if len(table.anomalous) and table.anomalous.all() else "healthy"
        why = f"all scans are {kind}: nothing to tell them from" if len(table.anomalous) else "no scans"
        return {"auroc": undefined(why), "ap": undefined(why)}
    sides = [len(set(table.owner[table.anomalous == side].tolist())) for side in (True, False)]
    out = {}
    for name, function in (("auroc", auroc), ("ap", average_precision)):
        statistic = table.statistic(function)
        value = float(statistic(np.ones((1, len(table.subjects))))[0])
        out[name] = with_interval(
            value,
            statistic,
            bootstrap,
            subjects=len(table.subjects),
            carriers=min(sides),
            why="undefined",
        )
    return out
