"""Bootstrap over subjects: every statistic here is a function of sums over subjects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unlesion.evaluation.metric import Interval

Floats = NDArray[np.float64]

# (R, K) weights of K subjects in R replicates -> (R,) values, NaN where undefined.
Statistic = Callable[[Floats], Floats]

FEWEST_SUBJECTS = 5
LEVEL = 0.95

# Replicates are worked through in parts, so that memory does not grow with their number.
_PART = 250


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """How intervals are made: resampling subjects with replacement, percentiles of the replicates.

    Attributes:
        replicates: how many.
        seed: of the resampling; the same subjects give the same interval everywhere.
    """

    replicates: int = 1000
    seed: int = 0

    def weights(self, subjects: int) -> Floats:
        """(replicates, subjects): how often each subject was drawn."""
        generator = np.random.default_rng(self.seed)
        share = np.full(subjects, 1.0 / subjects)
        return generator.multinomial(subjects, share, size=self.replicates).astype(np.float64)

    def values(self, statistic: Statistic, subjects: int) -> Floats:
        """(replicates,): the statistic of every replicate, NaN where undefined."""
        return in_parts(statistic, self.weights(subjects))

    def interval(self, statistic: Statistic, subjects: int) -> Interval | None:
        """The percentile interval; None below 5 subjects or where most replicates are undefined."""
        if subjects < FEWEST_SUBJECTS or self.replicates < 2:
            return None
        return percentiles(self.values(statistic, subjects))


def percentiles(values: Floats) -> Interval | None:
    """The middle 95 % of the defined values; None if fewer than half are defined."""
    defined = values[np.isfinite(values)]
    if defined.size < max(2, values.size / 2):
        return None
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return float(low), float(high)


def in_parts(statistic: Statistic, weights: Floats) -> Floats:
    """Apply a statistic to (R, K) weights, some replicates at a time."""
    parts = [statistic(weights[start : start + _PART]) for start in range(0, len(weights), _PART)]
    return np.concatenate(parts)
