"""What a p-value and a threshold promise, on simulated healthy subjects whose slices resemble each other."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from unlesion.calibration import RATES, Calibration, CalibrationBuilder

ROUNDS = 2000


def simulated(generator: np.random.Generator, subjects: int) -> list[tuple[float, ...]]:
    """Scan scores of subjects: most of the variance lies between subjects, and numbers of scans differ."""
    return [
        tuple(generator.normal() + 0.3 * generator.normal(size=generator.integers(1, 8)))
        for _ in range(subjects)
    ]


@pytest.mark.parametrize("subjects", [8, 19, 40])
@pytest.mark.parametrize("alpha", [0.05, 0.12, 0.3])
def test_healthy_scans_are_flagged_at_most_at_alpha(subjects: int, alpha: float) -> None:
    generator = np.random.default_rng(subjects)
    flagged = 0
    for _ in range(ROUNDS):
        *known, new = simulated(generator, subjects + 1)
        calibration = Calibration(
            thresholds=dict.fromkeys(RATES, 0.0), scores=tuple(known), n_scans=sum(map(len, known))
        )
        flagged += calibration.p_value(new[generator.integers(len(new))]) <= alpha
    # What chance allows to a rate of alpha in so many rounds, 99.9 %.
    assert flagged <= binom.ppf(0.999, ROUNDS, alpha)
    if alpha < 1 / (subjects + 1):
        assert flagged == 0


def test_slices_as_units_would_break_the_promise() -> None:
    """The reason for subjects as units: naive conformal over slices flags far too often."""
    generator = np.random.default_rng(0)
    hierarchical = naive = 0
    alpha = 0.2
    for _ in range(ROUNDS):
        # A few subjects carry nearly all slices.
        groups = [tuple(generator.normal() + 0.1 * generator.normal(size=n)) for n in (30, 1, 1, 1, 1, 1)]
        new = float(generator.normal())
        calibration = Calibration(
            thresholds=dict.fromkeys(RATES, 0.0), scores=tuple(groups), n_scans=sum(map(len, groups))
        )
        hierarchical += calibration.p_value(new) <= alpha
        scores = np.concatenate(groups)
        naive += (1 + (scores >= new).sum()) / (len(scores) + 1) <= alpha
    assert hierarchical <= binom.ppf(0.999, ROUNDS, alpha)
    assert naive > binom.ppf(0.999, ROUNDS, alpha) * 1.1


def test_realised_voxel_rate_is_near_the_intended_one() -> None:
    generator = np.random.default_rng(0)

    def scan() -> np.ndarray:
        level = np.exp(0.2 * generator.normal())
        return (level * generator.gamma(2.0, 1.0, (40, 40, 1))).astype(np.float32)

    builder = CalibrationBuilder()
    for subject in range(200):
        builder.add(str(subject), scan(), np.ones((40, 40, 1), bool), 0.0)
    calibration = builder.finish()
    new = [scan() for _ in range(200)]
    for name, rate in RATES.items():
        rates = np.asarray([(one > calibration.thresholds[name]).mean() for one in new])
        assert abs(rates.mean() - rate) < 4 * rates.std() * np.sqrt(2 / 200) + 1e-4
