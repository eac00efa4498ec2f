"""Images: how well the scan score tells anomalous scans from healthy ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

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

    def to_arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """As plain arrays, for `numpy.savez`."""
        return {
            f"{prefix}.subjects": np.asarray(self.subjects, dtype=np.str_),
            f"{prefix}.owner": self.owner,
            f"{prefix}.score": self.score,
            f"{prefix}.anomalous": self.anomalous,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], prefix: str) -> ScanTable:
        """From `to_arrays`; KeyError if something is missing."""
        return cls(
            subjects=tuple(str(name) for name in arrays[f"{prefix}.subjects"]),
            owner=arrays[f"{prefix}.owner"],
            score=arrays[f"{prefix}.score"],
            anomalous=arrays[f"{prefix}.anomalous"],
        )


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

    @property
    def examinations(self) -> frozenset[tuple[str, str]]:
        """(subject, scan_id) of every scan."""
        return frozenset(self._rows)

    def rows(self) -> Iterator[tuple[str, str, float, bool]]:
        """(subject, scan_id, score, whether any row of the scan is anomalous) of every row."""
        for scan, scores in self._rows.items():
            for score in scores:
                yield *scan, score, scan in self._anomalous

    @classmethod
    def sum(cls, parts: Sequence[ImageScores]) -> ImageScores:
        """Several of them together; rows of one scan may lie in several."""
        out = cls()
        for part in parts:
            for scan, scores in part._rows.items():
                out._rows.setdefault(scan, []).extend(scores)
            out._anomalous |= part._anomalous
        return out

    def among(self, examinations: Collection[tuple[str, str]]) -> ImageScores:
        """The healthy scans, and of the anomalous ones those named; scored by all their rows as ever."""
        chosen = set(examinations) & self._anomalous
        return ImageScores(
            _rows={
                scan: v for scan, v in self._rows.items() if scan in chosen or scan not in self._anomalous
            },
            _anomalous=chosen,
        )

    def table(self) -> ScanTable:
        """One row a scan."""
        subjects = sorted({subject for subject, _ in self._rows})
        place = {subject: index for index, subject in enumerate(subjects)}
        scans = sorted(self._rows)
        return ScanTable(
            subjects=tuple(subjects),
            owner=np.asarray([place[subject] for subject, _ in scans], dtype=np.int64),
            # An exact sum: the order in which rows came must not show in the last digit.
            score=np.asarray(
                [math.fsum(self._rows[scan]) / len(self._rows[scan]) for scan in scans], dtype=np.float64
            ),
            anomalous=np.asarray([scan in self._anomalous for scan in scans], dtype=bool),
        )


def image_metrics(
    table: ScanTable, bootstrap: Bootstrap, *, only: Sequence[str] = ("auroc", "ap")
) -> dict[str, Metric]:
    """AUROC and AP over scans, or one of them."""
    if table.anomalous.all() or not table.anomalous.any():
        kind = "anomalous" if len(table.anomalous) and table.anomalous.all() else "healthy"
        why = f"all scans are {kind}: nothing to tell them from" if len(table.anomalous) else "no scans"
        return {name: undefined(why) for name in only}
    sides = [len(set(table.owner[table.anomalous == side].tolist())) for side in (True, False)]
    out = {}
    for name in only:
        statistic = table.statistic({"auroc": auroc, "ap": average_precision}[name])
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
