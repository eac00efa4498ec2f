"""Ranking metrics from counts of positives and negatives per score, many replicates at once.

All functions take counts per distinct score, rising along the last axis, of any real weights; leading
axes are replicates. Equal scores are one threshold, as in scikit-learn. Undefined values are NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def average_precision(positives: NDArray[Any], negatives: NDArray[Any]) -> Floats:
    """AP = sum over thresholds of (recall gained) x precision: steps, no trapezoids."""
    hits, alarms = _from_top(positives), _from_top(negatives)
    gained = positives[..., ::-1].astype(np.float64, copy=False)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(gained > 0, hits / (hits + alarms), 0.0)
        out: Floats = (gained * precision).sum(axis=-1) / hits[..., -1]
    return out


def auroc(positives: NDArray[Any], negatives: NDArray[Any]) -> Floats:
    """Chance that a positive scores above a negative, ties counting half; NaN with one class only."""
    gained = positives[..., ::-1].astype(np.float64, copy=False)
    lost = negatives[..., ::-1].astype(np.float64, copy=False)
    alarms = np.cumsum(lost, axis=-1)
    all_alarms = alarms[..., -1:]
    below = all_alarms - alarms + lost / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        out: Floats = (gained * below).sum(axis=-1) / (gained.sum(axis=-1) * all_alarms[..., 0])
    return out


def best_dice(positives: NDArray[Any], negatives: NDArray[Any]) -> Floats:
    """The largest Dice of any threshold, an oracle: it looks at the truth; NaN without positives."""
    hits, alarms = _from_top(positives), _from_top(negatives)
    with np.errstate(invalid="ignore", divide="ignore"):
        dice = 2 * hits / (hits + alarms + hits[..., -1:])
        out: Floats = np.where(hits[..., -1] > 0, dice.max(axis=-1, initial=0.0), np.nan)
    return out


def dice_of(hits: NDArray[Any], alarms: NDArray[Any], missed: NDArray[Any]) -> Floats:
    """2 TP / (2 TP + FP + FN); NaN where there is neither truth nor prediction."""
    with np.errstate(invalid="ignore", divide="ignore"):
        out: Floats = 2.0 * hits / (2.0 * hits + alarms + missed)
    return out


def _from_top(counts: NDArray[Any]) -> Floats:
    """How many score at least as high, from the highest score down."""
    out: Floats = np.cumsum(counts[..., ::-1].astype(np.float64, copy=False), axis=-1)
    return out
