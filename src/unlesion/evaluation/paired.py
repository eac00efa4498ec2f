"""Paired statistics of two evaluations of the same subjects: joint bootstrap and permutation tests.

A permutation exchanges, for some of the subjects, what the two methods said. That is only fair if their
scores mean the same, and a residual and a z-score do not: before anything is exchanged, each method's
scores become ranks among all its own scores. AP and AUROC do not change by that.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from unlesion.calibration.codes import N_CODES
from unlesion.evaluation.bootstrap import FEWEST_SUBJECTS, Bootstrap, in_parts, percentiles
from unlesion.evaluation.estimate import share
from unlesion.evaluation.images import ScanTable
from unlesion.evaluation.metric import Interval
from unlesion.evaluation.ranking import auroc, average_precision, dice_of
from unlesion.evaluation.stored import TWIN, StoredEvaluation
from unlesion.evaluation.voxels import VoxelCounts
from unlesion.evaluation.within import PLACE as WITHIN
from unlesion.evaluation.within import WithinModality

Floats = NDArray[np.float64]

# Ranks of voxels, from the highest score down, are told apart to 1/128 octave.
_RANK_STEPS = 128

# Up to so many subjects all 2^K exchanges are counted.
_ALL_UP_TO = 12


class Pair(ABC):
    """Two evaluations in one metric.

    Attributes:
        subjects: number of subjects.
    """

    subjects: int

    @abstractmethod
    def of_weights(self, weights: Floats) -> Floats:
        """(R,) differences second - first for (R, K) weights of subjects."""

    @abstractmethod
    def of_exchanges(self, exchanged: Floats) -> Floats:
        """(R,) differences when the subjects where (R, K) is 1 exchange their results."""

    def interval(self, difference: float, bootstrap: Bootstrap) -> Interval | None:
        """Percentile interval of the difference; None below 5 subjects."""
        if self.subjects < FEWEST_SUBJECTS:
            return None
        here = float(self.of_weights(np.ones((1, self.subjects)))[0])
        return percentiles(bootstrap.values(self.of_weights, self.subjects) + (difference - here))

    def p_value(self, *, rounds: int, seed: int) -> float | None:
        """Two-sided p-value of "it makes no difference which of the two was used"."""
        if self.subjects <= _ALL_UP_TO:
            numbers = np.arange(2**self.subjects)[:, None]
            exchanged = ((numbers >> np.arange(self.subjects)) & 1).astype(np.float64)
        else:
            generator = np.random.default_rng(seed)
            exchanged = generator.integers(0, 2, size=(rounds, self.subjects)).astype(np.float64)
            # Among the exchanges there is always that of nobody, which is what was seen.
            exchanged = np.concatenate([np.zeros((1, self.subjects)), exchanged])
        found = np.abs(in_parts(self.of_exchanges, exchanged))
        seen = found[0]
        defined = np.isfinite(found)
        if not defined[0]:
            return None
        return float((found[defined] >= seen - 1e-12).mean())


class VoxelPair(Pair):
    """Pooled voxel AP."""

    def __init__(self, one: StoredEvaluation, two: StoredEvaluation) -> None:
        self._grouped = [evaluation.voxels.grouped() for evaluation in (one, two)]
        subjects = sorted({*one.voxels.subjects, *two.voxels.subjects})
        self.subjects = len(subjects)
        self._ranked = [_ranked(evaluation.voxels, subjects) for evaluation in (one, two)]

    def of_weights(self, weights: Floats) -> Floats:
        first, second = (average_precision(*grouped.at(weights)) for grouped in self._grouped)
        return second - first

    def of_exchanges(self, exchanged: Floats) -> Floats:
        (lesion, other), (lesion_two, other_two) = self._ranked
        moved = exchanged @ (lesion_two - lesion), exchanged @ (other_two - other)
        first = average_precision(lesion.sum(0) + moved[0], other.sum(0) + moved[1])
        second = average_precision(lesion_two.sum(0) - moved[0], other_two.sum(0) - moved[1])
        return second - first


class DicePair(Pair):
    """Pooled Dice at the threshold of one healthy false-positive rate."""

    def __init__(self, one: StoredEvaluation, two: StoredEvaluation, *, rate: str) -> None:
        subjects = sorted({*one.dice, *two.dice})
        self.subjects = len(subjects)
        self._counts = [evaluation.dice_counts(subjects, rate) for evaluation in (one, two)]

    def of_weights(self, weights: Floats) -> Floats:
        first, second = (dice_of(*np.moveaxis(weights @ counts, -1, 0)) for counts in self._counts)
        return second - first

    def of_exchanges(self, exchanged: Floats) -> Floats:
        one, two = self._counts
        moved = exchanged @ (two - one)
        first = dice_of(*np.moveaxis(one.sum(0) + moved, -1, 0))
        second = dice_of(*np.moveaxis(two.sum(0) - moved, -1, 0))
        return second - first


class ImagePair(Pair):
    """AUROC of scans; of both tables the same scans."""

    def __init__(self, one: ScanTable, two: ScanTable) -> None:
        from scipy.stats import rankdata

        self.subjects = len(one.subjects)
        self._owner, self._anomalous = one.owner, one.anomalous
        self._of_weights = [table.statistic(auroc) for table in (one, two)]
        self._ranks = [np.asarray(rankdata(table.score)) for table in (one, two)]

    def of_weights(self, weights: Floats) -> Floats:
        first, second = (statistic(weights) for statistic in self._of_weights)
        return second - first

    def of_exchanges(self, exchanged: Floats) -> Floats:
        moved = exchanged[:, self._owner] > 0
        one, two = self._ranks
        return self._auroc(np.where(moved, one, two)) - self._auroc(np.where(moved, two, one))

    def _auroc(self, scores: Floats) -> Floats:
        from scipy.stats import rankdata

        positives = int(self._anomalous.sum())
        negatives = len(self._anomalous) - positives
        total = np.asarray(rankdata(scores, axis=1))[:, self._anomalous].sum(axis=1)
        out: Floats = (total - positives * (positives + 1) / 2) / (positives * negatives)
        return out


class TwinPair(Pair):
    """Twin gain: 1 minus the error inside lesions after healing over that before, both summed over scans."""

    def __init__(self, one: StoredEvaluation, two: StoredEvaluation) -> None:
        subjects = sorted({*one.twin, *two.twin})
        self.subjects = len(subjects)
        self._sums = [np.stack([evaluation.twin[s] for s in subjects]) for evaluation in (one, two)]

    def of_weights(self, weights: Floats) -> Floats:
        first, second = (1 - share(weights @ sums) for sums in self._sums)
        return second - first

    def of_exchanges(self, exchanged: Floats) -> Floats:
        one, two = self._sums
        moved = exchanged @ (two - one)
        return share(one.sum(0) + moved) - share(two.sum(0) - moved)


class WithinModalityPair(Pair):
    """AUROC of scans within modalities; of both, by modality, tables of the same scans.

    A subject is drawn, and exchanged, with its scans of all modalities; a scan has its rank among those of its
    own modality.
    """

    def __init__(self, one: Mapping[str, ScanTable], two: Mapping[str, ScanTable]) -> None:
        first, second = WithinModality(one), WithinModality(two)
        self.subjects = len(first.subjects)
        self._both = first, second
        self._apart = {name: ImagePair(first.used[name], second.used[name]) for name in first.used}

    def of_weights(self, weights: Floats) -> Floats:
        first, second = (within.of_weights(weights) for within in self._both)
        return second - first

    def of_exchanges(self, exchanged: Floats) -> Floats:
        # An exchange leaves the weights of the modalities as they are, so their differences have the same mean.
        within, _ = self._both
        apart = {
            name: pair.of_exchanges(exchanged[:, within.columns[name]]) for name, pair in self._apart.items()
        }
        return within.mean(apart, np.ones((1, self.subjects)))


Scheme = Callable[[StoredEvaluation, StoredEvaluation], Pair]

SCHEMES: Mapping[str, Scheme] = {
    "voxel.ap": VoxelPair,
    "voxel.dice_at_fpr.fpr_001": partial(DicePair, rate="fpr_001"),
    TWIN: TwinPair,
    "image.auroc": lambda one, two: ImagePair(one.images, two.images),
    WITHIN: lambda one, two: WithinModalityPair(one.by_modality, two.by_modality),
}


def _ranked(counts: VoxelCounts, subjects: list[str]) -> tuple[Floats, Floats]:
    """Per subject, numbers of lesion voxels and of others by rank; (K, G) each, rising with the score."""
    codes, lesion, other = counts.pooled()
    from_top = np.cumsum((lesion + other)[::-1])[::-1]
    steps = np.floor(_RANK_STEPS * np.log2(1.0 + from_top)).astype(np.int64)
    # The highest step for all voxels there are, the same for both methods.
    last = int(np.floor(_RANK_STEPS * np.log2(1.0 + float((lesion + other).sum()))))
    rank_of = np.zeros(N_CODES, dtype=np.int64)
    rank_of[codes] = last - steps
    out = np.zeros((2, len(subjects), last + 1))
    for row, subject in enumerate(subjects):
        for side, table in enumerate((counts.lesion, counts.other)):
            if subject in table:
                np.add.at(out[side, row], rank_of[table[subject].codes], table[subject].numbers)
    return out[0], out[1]
