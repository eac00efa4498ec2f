from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from unlesion.evaluation.bootstrap import Bootstrap
from unlesion.evaluation.images import ImageScores, image_metrics
from unlesion.evaluation.within import auroc_within


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


def test_within_modalities_scores_of_different_sizes_do_not_mix() -> None:
    generator = np.random.default_rng(0)
    parts = {"T1": ImageScores(), "T2": ImageScores(), "PD": ImageScores()}
    truths, scores = {}, {}
    # T2 scores a thousand times as high, and most of its scans are healthy.
    for name, size, sick in (("T1", 1.0, 12), ("T2", 1000.0, 4)):
        truths[name] = np.arange(20) < sick
        scores[name] = size * (generator.random(20) + 0.5 * truths[name])
        for number in range(20):
            parts[name].add(f"s{number}", "x", scores[name][number], anomalous=bool(truths[name][number]))
    parts["PD"].add("s0", "x", 1.0, anomalous=False)
    found = auroc_within(parts, Bootstrap(replicates=100))
    apart = {name: roc_auc_score(truths[name], scores[name]) for name in truths}
    assert found.value == pytest.approx((12 * apart["T1"] + 4 * apart["T2"]) / 16)
    assert found.ci is not None and found.ci[0] < found.value < found.ci[1]
    assert found.extra["left_out"] == ["PD"]
    assert found.extra["examinations"]["T2"] == {"anomalous": 4, "healthy": 16}
    pooled = roc_auc_score(np.concatenate([*truths.values()]), np.concatenate([*scores.values()]))
    assert pooled < 0.5 < found.value
    # One modality: the plain AUROC.
    alone = auroc_within({"T1": parts["T1"]}, Bootstrap(replicates=100))
    plain = image_metrics(parts["T1"].table(), Bootstrap(replicates=100))["auroc"]
    assert alone.value == pytest.approx(plain.value) and alone.ci == pytest.approx(plain.ci)
    nothing = auroc_within({"PD": parts["PD"]}, Bootstrap(replicates=100))
    assert nothing.value is None and "both healthy and anomalous" in nothing.why
