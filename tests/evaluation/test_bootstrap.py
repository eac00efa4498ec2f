from __future__ import annotations

import numpy as np
import pytest

from unlesion.evaluation.bootstrap import Bootstrap, percentiles
from unlesion.evaluation.estimate import estimate, share


def test_weights_resample_subjects() -> None:
    weights = Bootstrap(replicates=500).weights(7)
    assert weights.shape == (500, 7)
    np.testing.assert_array_equal(weights.sum(axis=1), 7)
    np.testing.assert_array_equal(weights, Bootstrap(replicates=500).weights(7))
    assert (weights != Bootstrap(replicates=500, seed=1).weights(7)).any()


def test_interval_of_a_mean_is_near_the_normal_one() -> None:
    values = np.random.default_rng(0).normal(3, 2, 200)
    found = estimate(
        {f"{i:03d}": [v, 1.0] for i, v in enumerate(values)}, share, Bootstrap(replicates=4000), why=""
    )
    assert found.value == pytest.approx(values.mean())
    assert found.ci is not None
    half = 1.96 * values.std() / np.sqrt(200)
    assert found.ci[0] == pytest.approx(values.mean() - half, abs=0.06)
    assert found.ci[1] == pytest.approx(values.mean() + half, abs=0.06)


def test_coverage() -> None:
    """Of 95 % intervals for a mean over 40 subjects, nearly 95 % hold the truth."""
    generator = np.random.default_rng(1)
    hits = 0
    for _ in range(300):
        table = {f"{i:02d}": [v, 1.0] for i, v in enumerate(generator.exponential(1.0, 40))}
        found = estimate(table, share, Bootstrap(replicates=300), why="")
        assert found.ci is not None
        hits += found.ci[0] <= 1.0 <= found.ci[1]
    assert 0.86 < hits / 300 <= 0.98


def test_fewer_than_five_subjects_have_no_interval() -> None:
    table = {str(i): [float(i), 1.0] for i in range(5)}
    assert estimate(table, share, Bootstrap(), why="").ci is not None
    del table["0"]
    few = estimate(table, share, Bootstrap(), why="")
    assert few.value == 2.5
    assert few.to_json() == {"value": 2.5, "ci": None, "ci_why": "fewer than 5 subjects"}


def test_a_single_carrier_has_no_interval() -> None:
    table = {str(i): [float(i == 0), 1.0] for i in range(9)}
    assert estimate(table, share, Bootstrap(), why="", carriers=1).ci is None


def test_undefined_says_why() -> None:
    assert estimate({}, share, Bootstrap(), why="no cats").to_json() == {
        "value": None,
        "ci": None,
        "why": "no cats",
    }
    zero = estimate({"a": [0.0, 0.0]}, share, Bootstrap(), why="no dogs").to_json()
    assert zero == {"value": None, "ci": None, "why": "no dogs"}


def test_mostly_undefined_replicates_give_no_interval() -> None:
    values = np.full(100, np.nan)
    values[:49] = 1.0
    assert percentiles(values) is None
    values[:60] = 1.0
    assert percentiles(values) == (1.0, 1.0)
