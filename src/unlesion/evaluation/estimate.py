"""Estimates: a function of sums over subjects, with its interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlesion.evaluation.bootstrap import FEWEST_SUBJECTS, Bootstrap, Statistic
from unlesion.evaluation.metric import Metric, undefined

# Per subject: a vector of numbers that add up over subjects.
Table = Mapping[str, NDArray[Any] | Sequence[float]]


def estimate(
    table: Table,
    function: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    bootstrap: Bootstrap,
    *,
    why: str,
    carriers: int | None = None,
    extra: dict[str, Any] | None = None,
) -> Metric:
    """function(sum over subjects), with the bootstrap interval.

    Args:
        table: a vector of length D per subject.
        function: (..., D) sums -> (...) values, NaN where undefined.
        bootstrap: how to resample.
        why: said where the value is undefined.
        carriers: number of subjects without which there would be no value (with lesions), if not all.
        extra: goes into the metric.
    """
    subjects = sorted(table)
    if not subjects:
        return undefined(why, **(extra or {}))
    rows = np.asarray([table[subject] for subject in subjects], dtype=np.float64)
    value = float(function(rows.sum(axis=0)))
    return with_interval(
        value,
        lambda weights: function(weights @ rows),
        bootstrap,
        subjects=len(subjects),
        carriers=carriers,
        why=why,
        extra=extra,
    )


def with_interval(
    value: float,
    statistic: Statistic,
    bootstrap: Bootstrap,
    *,
    subjects: int,
    why: str,
    carriers: int | None = None,
    extra: dict[str, Any] | None = None,
) -> Metric:
    """A metric from a value and the statistic of subject weights that gives its interval.

    There is none below 5 subjects, nor where a single subject carries the value: resampling says
    nothing about how lesions differ between patients if there is one patient.
    """
    extra = extra or {}
    if not np.isfinite(value):
        return undefined(why, **extra)
    if subjects < FEWEST_SUBJECTS:
        return Metric(value=value, ci_why=f"fewer than {FEWEST_SUBJECTS} subjects", extra=extra)
    if carriers is not None and carriers < 2:
        return Metric(value=value, ci_why="a single subject carries the value", extra=extra)
    interval = bootstrap.interval(statistic, subjects)
    return Metric(value=value, ci=interval, ci_why="undefined in most replicates", extra=extra)


def share(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """First number over the second, from (..., 2) sums; NaN for 0/0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        out: NDArray[np.float64] = np.where(sums[..., 1] > 0, sums[..., 0] / sums[..., 1], np.nan)
    return out
