from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from unlesion.evaluation.bootstrap import Bootstrap
from unlesion.evaluation.images import ImageScores, image_metrics


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(3, 30))
def test_against_scikit_learn(seed: int, count: int) -> None:
    generator = np.random.default_rng(seed)
    scores, truth = generator.integers(0, 6, count) / 2, generator.random(count) < 0.5
    truth[:2] = [True, False]
    images = ImageScores()
    for i in generator.permutation(count):
        images.add(f"s{i % 7}", f"scan{i}", float(scores[i]), anomalous=bool(truth[i]))
    found = image_metrics(images.table(), Bootstrap(replicates=20))
    assert found["auroc"].value == pytest.approx(roc_auc_score(truth, scores))
    assert found["ap"].value == pytest.approx(average_precision_score(truth, scores))


def test_bootstrap_replicates_are_those_of_repeated_subjects() -> None:
    generator = np.random.default_rng(0)
    images = ImageScores()
    for i in range(20):
        images.add(f"s{i % 6}", f"{i}", float(generator.integers(0, 5)), anomalous=i % 3 == 0)
    table = images.table()
    weights = Bootstrap(replicates=30).weights(6)
    from unlesion.evaluation.ranking import auroc

    found = table.statistic(auroc)(weights)
    for row, value in zip(weights, found, strict=True):
        copies = row[table.owner].astype(int)
        truth = np.repeat(table.anomalous, copies)
        if truth.all() or not truth.any():
            assert np.isnan(value)
        else:
            assert value == pytest.approx(roc_auc_score(truth, np.repeat(table.score, copies)))


def test_rows_of_a_scan_join() -> None:
    images = ImageScores()
    images.add("a", "x", 1.0, anomalous=False)
    images.add("a", "x", 4.0, anomalous=True)
    images.add("a", "y", 3.0, anomalous=False)
    table = images.table()
    np.testing.assert_array_equal(table.score, [2.5, 3.0])
    np.testing.assert_array_equal(table.anomalous, [True, False])
    assert table.subjects == ("a",)


@pytest.mark.parametrize("anomalous", [True, False])
def test_one_class_is_undefined(anomalous: bool) -> None:
    images = ImageScores()
    for i in range(6):
        images.add(str(i), "x", float(i), anomalous=anomalous)
    for metric in image_metrics(images.table(), Bootstrap(replicates=10)).values():
        assert metric.value is None
        assert ("anomalous" if anomalous else "healthy") in metric.why
