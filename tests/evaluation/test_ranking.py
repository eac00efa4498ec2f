from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import uniform_filter
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from unlesion.calibration.codes import Counts, encode, value_of
from unlesion.evaluation.ranking import auroc, average_precision, best_dice
from unlesion.evaluation.voxels import VoxelCounts, ap_of, group_codes, ranking_of
from unlesion.scans import Cohort

# Few distinct values, so that ties are common.
tied = st.integers(-4, 8).map(lambda i: i / 4)


def counts_of(scores: np.ndarray, truth: np.ndarray) -> VoxelCounts:
    codes = encode(scores)
    out = VoxelCounts()
    out.add("a", Counts.of(codes[truth]), Counts.of(codes[~truth]))
    return out


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.float32, st.integers(2, 80), elements=tied | st.floats(-1e3, 1e3, width=32)),
    st.integers(0, 2**31),
    st.floats(0.05, 0.95),
)
def test_exact_on_the_codes(scores: np.ndarray, seed: int, share: float) -> None:
    truth = np.random.default_rng(seed).random(scores.size) < share
    found = ranking_of(counts_of(scores, truth))
    rounded = value_of(encode(scores)).astype(np.float64)
    if truth.any():
        assert found["ap"] == pytest.approx(average_precision_score(truth, rounded), abs=1e-12)
        best = max(f1_score(truth, rounded >= t) for t in np.unique(rounded))
        assert found["dice_oracle"] == pytest.approx(best, abs=1e-12)
    else:
        assert np.isnan(found["ap"]) and np.isnan(found["dice_oracle"])
    if truth.any() and not truth.all():
        assert found["auroc"] == pytest.approx(roc_auc_score(truth, rounded), abs=1e-12)
    else:
        assert np.isnan(found["auroc"])
    for value in found.values():
        assert np.isnan(value) or 0 <= value <= 1 + 1e-12


@pytest.mark.parametrize(
    "law",
    ["normal", "lognormal", "uniform", "exponential", "steps", "tiny", "huge", "mostly_zero", "probability"],
)
@pytest.mark.parametrize("prevalence", [0.2, 0.01, 0.001])
def test_within_a_thousandth_of_scikit_learn_on_map_like_scores(law: str, prevalence: float) -> None:
    generator = np.random.default_rng(3)
    count = 60_000
    truth = generator.random(count) < prevalence
    base = generator.standard_normal(count) + 1.5 * truth
    scores = {
        "normal": base,
        "lognormal": np.exp(base),
        "uniform": generator.random(count) + 0.4 * truth,
        "exponential": generator.exponential(1 + 2 * truth),
        "steps": np.round(2 * base),
        "tiny": 1e-4 * np.abs(base),
        "huge": 1e4 * np.exp(base),
        "mostly_zero": np.maximum(base - 1, 0),
        "probability": 1 / (1 + np.exp(-base)),
    }[law].astype(np.float32)
    found = ranking_of(counts_of(scores, truth))
    assert found["ap"] == pytest.approx(average_precision_score(truth, scores), abs=1e-3)
    assert found["auroc"] == pytest.approx(roc_auc_score(truth, scores), abs=1e-3)


def test_constant_scores() -> None:
    truth = np.arange(10) < 3
    found = ranking_of(counts_of(np.full(10, 0.7), truth))
    assert found["ap"] == pytest.approx(0.3)
    assert found["auroc"] == pytest.approx(0.5)
    assert found["dice_oracle"] == pytest.approx(2 * 3 / 13)


def test_no_voxels_and_no_lesions() -> None:
    assert all(np.isnan(v) for v in ranking_of(VoxelCounts()).values())
    nothing = Counts.of(np.empty(0, np.uint16))
    assert ap_of(nothing, Counts.of(encode(np.ones(3)))) is None
    assert ap_of(Counts.of(encode(np.ones(3))), nothing) == 1


def test_replicates_at_once_as_one_by_one() -> None:
    generator = np.random.default_rng(0)
    positives, negatives = generator.random((2, 7, 30))
    for function in (average_precision, auroc, best_dice):
        together = function(positives, negatives)
        alone = [float(function(p, n)) for p, n in zip(positives, negatives, strict=True)]
        np.testing.assert_allclose(together, alone)


def test_weights_are_copies() -> None:
    """A weight of 2 is the same as having a score twice."""
    generator = np.random.default_rng(0)
    scores, truth = generator.integers(0, 6, 40), generator.random(40) < 0.4
    weights = generator.integers(0, 4, 40)
    positives = np.bincount(scores, weights * truth, minlength=6)
    negatives = np.bincount(scores, weights * ~truth, minlength=6)
    expected = average_precision_score(np.repeat(truth, weights), np.repeat(scores, weights))
    assert float(average_precision(positives, negatives)) == pytest.approx(expected)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(0, 3))
def test_groups_hardly_change_a_metric(seed: int, contrast: float) -> None:
    generator = np.random.default_rng(seed)
    counts = VoxelCounts()
    for subject in "abc":
        truth = generator.random(5000) < 0.02
        codes = encode(np.exp(generator.standard_normal(5000) + contrast * truth))
        counts.add(subject, Counts.of(codes[truth]), Counts.of(codes[~truth]))
    exact, grouped = ranking_of(counts), counts.grouped()
    lesion, other = grouped.at(np.ones((1, 3)))
    assert float(average_precision(lesion, other)[0]) == pytest.approx(exact["ap"], abs=5e-3)
    assert float(auroc(lesion, other)[0]) == pytest.approx(exact["auroc"], abs=1e-3)
    assert lesion.sum() + other.sum() == 15000


def test_groups_are_few_and_rise() -> None:
    generator = np.random.default_rng(0)
    groups = group_codes(generator.integers(0, 3, 40000), generator.integers(0, 10**6, 40000))
    assert groups[0] == 0 and groups.max() < 6000
    assert (np.diff(groups) >= 0).all() and (np.diff(groups) <= 1).all()


def test_arrays_round_trip() -> None:
    generator = np.random.default_rng(0)
    counts = VoxelCounts()
    for subject in ("b", "a", "empty"):
        size = 0 if subject == "empty" else 100
        codes = encode(generator.random(size))
        counts.add(subject, Counts.of(codes[:30]), Counts.of(codes[30:]))
    back = VoxelCounts.from_arrays(counts.to_arrays("x"), "x")
    assert back.subjects == counts.subjects == ["a", "b"]
    assert ranking_of(back) == ranking_of(counts)
    np.testing.assert_array_equal(back.grouped().other, counts.grouped().other)


@pytest.mark.real
def test_within_a_thousandth_of_scikit_learn_on_real_images(real_data: Path) -> None:
    """Intensity itself as the map, bare and smoothed, on gliomas in FLAIR."""
    cohort = Cohort.open(real_data / "manifest.csv", where=["source=lgg_flair", "split=test"])
    plain, filtered = VoxelCounts(), VoxelCounts()
    truths, scores, smooth = [], [], []
    for entry in list(cohort)[::12]:
        scan = entry.read()
        assert scan.roi is not None
        truth = (np.zeros_like(scan.roi) if scan.lesions is None else scan.lesions)[scan.roi]
        image = scan.voxels[0] / scan.voxels[0][scan.roi].mean()
        for counts, values, kept in (
            (plain, image[scan.roi], scores),
            (filtered, uniform_filter(image, (7, 7, 1))[scan.roi], smooth),
        ):
            codes = encode(values)
            counts.add(entry.subject, Counts.of(codes[truth]), Counts.of(codes[~truth]))
            kept.append(values)
        truths.append(truth)
    truth = np.concatenate(truths)
    for counts, kept in ((plain, scores), (filtered, smooth)):
        found, values = ranking_of(counts), np.concatenate(kept)
        assert found["ap"] == pytest.approx(average_precision_score(truth, values), abs=1e-3)
        assert found["auroc"] == pytest.approx(roc_auc_score(truth, values), abs=1e-3)
