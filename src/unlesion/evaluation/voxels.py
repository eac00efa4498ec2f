"""Voxels: counts of scores inside and outside lesions per subject, and the metrics of their ranking."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlesion.calibration.codes import N_CODES, Counts, value_of
from unlesion.evaluation.ranking import auroc, average_precision, best_dice

# Codes are merged for the bootstrap into groups which hold at most 1/2048 of the lesion voxels, and
# within which the number of other voxels above grows by at most 1/64 octave.
_LESION_STEPS, _OTHER_STEPS = 2048, 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Grouped:
    """Per subject and group of scores, rising: how many lesion voxels and how many others.

    Attributes:
        lesion: (K, G) float64.
        other: (K, G) float64.
    """

    lesion: NDArray[np.float64]
    other: NDArray[np.float64]

    def at(self, weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weighted sums over subjects, each (R, G), for (R, K) weights."""
        return weights @ self.lesion, weights @ self.other


@dataclass(eq=False)
class VoxelCounts:
    """Sparse counts of 16-bit codes per subject: all that pooled voxel metrics need.

    Attributes:
        lesion: per subject, codes of voxels inside annotated lesions.
        other: per subject, codes of the other voxels inside the roi.
    """

    lesion: dict[str, Counts] = field(default_factory=dict)
    other: dict[str, Counts] = field(default_factory=dict)

    def add(self, subject: str, lesion: Counts, other: Counts) -> None:
        """Take in the voxels of one scan."""
        for table, counts in ((self.lesion, lesion), (self.other, other)):
            known = table.get(subject)
            table[subject] = counts if known is None else Counts.sum((known, counts))

    @classmethod
    def sum(cls, parts: Sequence[VoxelCounts]) -> VoxelCounts:
        """Several counts together."""
        out = cls()
        for name in ("lesion", "other"):
            gathered: dict[str, list[Counts]] = {}
            for part in parts:
                for subject, counts in getattr(part, name).items():
                    gathered.setdefault(subject, []).append(counts)
            table = {s: c[0] if len(c) == 1 else Counts.sum(c) for s, c in gathered.items()}
            setattr(out, name, table)
        return out

    @property
    def subjects(self) -> list[str]:
        """Subjects with any voxel, sorted."""
        return sorted(s for s in self.lesion if self.lesion[s].total or self.other[s].total)

    @property
    def with_lesions(self) -> int:
        """Number of subjects with lesion voxels."""
        return sum(counts.total > 0 for counts in self.lesion.values())

    def pooled(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Codes that occur, rising, with the numbers of lesion voxels and of others."""
        lesion, other = _dense(self.lesion.values()), _dense(self.other.values())
        there = np.flatnonzero(lesion + other)
        return there, lesion[there], other[there]

    def grouped(self) -> Grouped:
        """Counts per subject on groups of neighbouring codes, few enough for many replicates."""
        codes, lesion, other = self.pooled()
        group_of = np.zeros(N_CODES, dtype=np.int64)
        group_of[codes] = group_codes(lesion, other)
        groups = int(group_of[codes].max(initial=0)) + 1
        subjects = self.subjects
        out = np.zeros((2, len(subjects), groups))
        for row, subject in enumerate(subjects):
            for side, counts in enumerate((self.lesion[subject], self.other[subject])):
                np.add.at(out[side, row], group_of[counts.codes], counts.numbers)
        return Grouped(lesion=out[0], other=out[1])

    def to_arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """As plain arrays, for `numpy.savez`."""
        out: dict[str, NDArray[Any]] = {f"{prefix}.subjects": np.asarray(list(self.lesion), dtype=np.str_)}
        for name, table in (("lesion", self.lesion), ("other", self.other)):
            parts = list(table.values())
            out[f"{prefix}.{name}.lengths"] = np.asarray([len(p.codes) for p in parts], dtype=np.int64)
            out[f"{prefix}.{name}.codes"] = np.concatenate(
                [p.codes for p in parts] or [np.empty(0, np.uint16)]
            )
            out[f"{prefix}.{name}.numbers"] = np.concatenate(
                [p.numbers for p in parts] or [np.empty(0, np.int64)]
            )
        return out

    @classmethod
    def from_arrays(cls, arrays: Any, prefix: str) -> VoxelCounts:
        """From `to_arrays`; KeyError if something is missing."""
        subjects = [str(name) for name in arrays[f"{prefix}.subjects"]]
        tables: list[dict[str, Counts]] = []
        for name in ("lesion", "other"):
            ends = np.cumsum(arrays[f"{prefix}.{name}.lengths"])[:-1]
            codes = np.split(arrays[f"{prefix}.{name}.codes"], ends)
            numbers = np.split(arrays[f"{prefix}.{name}.numbers"], ends)
            tables.append(
                {s: Counts(codes=c, numbers=n) for s, c, n in zip(subjects, codes, numbers, strict=False)}
            )
        return cls(lesion=tables[0], other=tables[1])


def group_codes(lesion: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """Groups, rising from 0, of neighbouring codes given the numbers at each code (rising)."""
    if lesion.size == 0:
        return np.zeros(0, dtype=np.int64)
    hits, alarms = np.cumsum(lesion[::-1]), np.cumsum(other[::-1])
    by_lesion = np.floor(_LESION_STEPS * hits / max(1, hits[-1]))
    by_other = np.floor(_OTHER_STEPS * np.log2(1.0 + alarms))
    starts = np.concatenate([[0], (np.diff(by_lesion) > 0) | (np.diff(by_other) > 0)])
    from_top = np.cumsum(starts).astype(np.int64)
    return np.asarray(from_top[-1] - from_top)[::-1]


def ap_of(lesion: Counts, other: Counts) -> float | None:
    """AP of one scan; None without lesion voxels."""
    if lesion.total == 0:
        return None
    pooled = VoxelCounts(lesion={"": lesion}, other={"": other}).pooled()
    return float(average_precision(pooled[1], pooled[2]))


def curves_of(counts: VoxelCounts, *, points: int = 200) -> dict[str, list[float]]:
    """Points of the precision-recall and ROC curves for drawing, from the highest threshold down."""
    codes, lesion, other = counts.pooled()
    if lesion.sum() == 0 or other.sum() == 0:
        return {"threshold": [], "recall": [], "precision": [], "fpr": []}
    hits, alarms = np.cumsum(lesion[::-1]), np.cumsum(other[::-1])
    # Even in recall, and in the logarithm of the false alarms: both ends of both curves are drawn.
    by_recall = np.searchsorted(hits, np.linspace(0, hits[-1], points // 2))
    by_alarm = np.searchsorted(alarms, np.geomspace(1, alarms[-1], points // 2))
    chosen = np.unique(np.clip(np.concatenate([[0], by_recall, by_alarm]), 0, len(hits) - 1))
    return {
        "threshold": [float(v) for v in value_of(codes[::-1][chosen])],
        "recall": [float(v) for v in hits[chosen] / hits[-1]],
        "precision": [float(v) for v in hits[chosen] / (hits[chosen] + alarms[chosen])],
        "fpr": [float(v) for v in alarms[chosen] / alarms[-1]],
    }


def ranking_of(counts: VoxelCounts) -> dict[str, float]:
    """Exact pooled AP, AUROC and best Dice on the 16-bit codes; NaN where undefined."""
    _, lesion, other = counts.pooled()
    if lesion.size == 0:
        return {"ap": float("nan"), "auroc": float("nan"), "dice_oracle": float("nan")}
    return {
        "ap": float(average_precision(lesion, other)),
        "auroc": float(auroc(lesion, other)),
        "dice_oracle": float(best_dice(lesion, other)),
    }


def _dense(parts: Iterable[Counts]) -> NDArray[np.int64]:
    dense = np.zeros(N_CODES, dtype=np.int64)
    for counts in parts:
        dense[counts.codes] += counts.numbers
    return dense
