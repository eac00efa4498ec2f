from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unlesion.calibration import RATES, Calibration, CalibrationBuilder
from unlesion.errors import BadInput


def calibration_of(*groups: tuple[float, ...]) -> Calibration:
    return Calibration(
        thresholds=dict.fromkeys(RATES, 1.0), scores=groups, n_scans=sum(len(group) for group in groups)
    )


def built(maps: dict[str, list[np.ndarray]]) -> Calibration:
    builder = CalibrationBuilder()
    for subject, scans in maps.items():
        for scan in scans:
            builder.add(subject, scan, np.ones(scan.shape, bool), float(scan.max()))
    return builder.finish()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 6))
def test_thresholds_keep_the_mean_subject_rate(seed: int, subjects: int) -> None:
    generator = np.random.default_rng(seed)
    maps = {
        f"s{i}": [
            (generator.gamma(2.0, 1.0 + i, (30, 30, 1))).astype(np.float32)
            for _ in range(generator.integers(1, 4))
        ]
        for i in range(subjects)
    }
    found = built(maps)
    for name, rate in RATES.items():
        threshold = np.float32(found.thresholds[name])
        realised = np.mean([(np.stack(scans) > threshold).mean() for scans in maps.values()])
        assert realised <= rate + 1e-9
        # A threshold lower by one step of the code would let through too many.
        lower = np.mean([(np.stack(scans) > threshold * (1 - 2**-9)).mean() for scans in maps.values()])
        assert lower > rate - 1e-9 or threshold <= 0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 4), st.sampled_from([0.0, 0.5, 0.999]))
def test_the_rate_of_a_value_is_the_share_of_healthy_voxels_as_high(
    seed: int, subjects: int, zeros: float
) -> None:
    """Against counting, and against the thresholds: a value has at most a rate just if it exceeds the threshold there."""
    generator = np.random.default_rng(seed)

    def drawn() -> np.ndarray:
        values = generator.gamma(2.0, 1.0, (40, 40, 1)) - generator.integers(0, 2)
        return np.where(generator.random(values.shape) < zeros, 0.0, values).astype(np.float32)

    healthy = [drawn() for _ in range(subjects)]
    found = built({str(number): [scan] for number, scan in enumerate(healthy)})
    new = np.concatenate([drawn().ravel(), np.float32([-1e9, 0.0, 1e-12, 1e9])])
    rates = found.rate_map(new)
    exact = np.mean([(scan.ravel()[:, None] > new).mean(0) for scan in healthy], axis=0)
    assert (rates >= exact - 1e-6).all() and rates[-1] == 0 and rates.max() <= 1
    # In steps of a twentieth of a decade and of the codes that scores are counted by.
    as_high = np.mean([(scan.ravel()[:, None] >= new * (1 - 2**-7)).mean(0) for scan in healthy], axis=0)
    above = new > 0.01
    assert (rates[above] <= 1.13 * as_high[above] + 1e-6).all()
    for name, rate in RATES.items():
        np.testing.assert_array_equal(rates <= np.float32(rate), new > np.float32(found.thresholds[name]))
    order = np.argsort(new, kind="stable")
    assert (np.diff(rates[order]) <= 0).all()
    assert found.rate_map(healthy[0]).shape == healthy[0].shape


def test_calibrations_of_older_versions_know_no_rate_of_a_value() -> None:
    whole = built({"a": [np.random.default_rng(0).random((9, 9, 1)).astype(np.float32)]})
    saved = json.loads(json.dumps(whole.to_json()))
    assert Calibration.from_json(saved) == whole
    del saved["exceeded"]
    old = Calibration.from_json(saved)
    assert old.thresholds == whole.thresholds
    with pytest.raises(BadInput, match="unlesion calibrate"):
        old.rate_map(np.zeros(3))
    for broken in ([[1.0]], [["a", 1]], 3):
        with pytest.raises(ValueError, match="not a calibration"):
            Calibration.from_json({**saved, "exceeded": broken})


def test_subjects_weigh_the_same_however_many_voxels_they_have() -> None:
    quiet, loud = np.zeros((10, 10, 1), np.float32), np.ones((10, 10, 1), np.float32)
    maps = {"many": [quiet] * 50, "one": [loud]}
    # Half of the mean subject is 1: the threshold must not lie below it.
    assert built(maps).thresholds["fpr_005"] >= 1 - 2**-9
    assert not (loud > built(maps).thresholds["fpr_005"]).any()


def test_modalities_are_counted_apart_and_together() -> None:
    generator = np.random.default_rng(1)
    scans = [
        (f"{kind}{i % 4}", kind, (scale * generator.random((12, 12, 1))).astype(np.float32))
        for kind, scale in (("T1", 1.0), ("CXR", 10.0))
        for i in range(8)
    ]

    def of(rows: list[tuple[str, str, np.ndarray]], *, named: bool) -> Calibration:
        builder = CalibrationBuilder()
        for subject, kind, scan in rows:
            modality = (kind.lower(),) if named else ()
            builder.add(subject, scan, np.ones(scan.shape, bool), float(scan.max()), modality=modality)
        return builder.finish()

    mixed = of(scans, named=True)
    assert set(mixed.parts) == {"T1", "CXR"}
    for kind in ("T1", "CXR"):
        alone = of([row for row in scans if row[1] == kind], named=True)
        assert alone.parts == {} and mixed.of((kind,)) == alone == mixed.of((kind.lower(),))
    # Both together are what they were before anybody looked at modalities.
    whole = of(scans, named=False)
    assert mixed.thresholds == whole.thresholds and sorted(mixed.scores) == sorted(whole.scores)
    assert mixed.of(("FLAIR",)) is mixed and mixed.n_scans == 16
    assert (
        mixed.modalities == ("CXR", "T1")
        and mixed.of(("T1",)).modalities == ("T1",)
        and whole.modalities == ()
    )
    assert "only CXR, T1" in mixed.unlike(("flair",)) and "only T1" in mixed.of(("T1",)).unlike(("CXR",))
    assert not mixed.unlike(("t1",)) and not mixed.unlike(("",)) and not whole.unlike(("FLAIR",))
    # Of scans without a name nobody knows what they are: they may be the very modality.
    some = CalibrationBuilder()
    for name in ("T1", ""):
        some.add(name, np.ones((4, 4, 1), np.float32), np.ones((4, 4, 1), bool), 1.0, modality=(name,))
    assert some.finish().modalities == ("T1", "unnamed") and not some.finish().unlike(("FLAIR",))
    # A T1 scan that is unusual for T1 is not so among chests.
    assert mixed.of(("T1",)).p_value(2.0) == 1 / 5 < mixed.p_value(2.0)
    assert Calibration.from_json(json.loads(json.dumps(mixed.to_json()))) == mixed
    assert "parts" not in whole.to_json()


def test_order_of_scans_does_not_matter() -> None:
    generator = np.random.default_rng(0)
    scans = [(f"s{i % 3}", generator.random((8, 8, 1)).astype(np.float32)) for i in range(9)]
    found = []
    for order in (scans, scans[::-1]):
        builder = CalibrationBuilder()
        for subject, scan in order:
            builder.add(subject, scan, np.ones(scan.shape, bool), float(scan.max()))
        found.append(builder.finish())
    assert found[0].thresholds == found[1].thresholds
    assert found[0].p_value(0.99) == pytest.approx(found[1].p_value(0.99))


def test_constant_healthy_maps_do_not_make_everything_anomalous() -> None:
    flat = np.full((10, 10, 1), 0.25, np.float32)
    for threshold in built({"a": [flat], "b": [flat]}).thresholds.values():
        assert not (flat > threshold).any()
        assert (flat * 1.01 > threshold).all()


def test_only_the_roi_counts() -> None:
    anomaly = np.zeros((10, 10, 1), np.float32)
    anomaly[:5] = 100
    roi = np.zeros((10, 10, 1), bool)
    roi[5:] = True
    found = CalibrationBuilder().add("a", anomaly, roi, 0.0).finish()
    assert found.thresholds["fpr_005"] < 1e-6


def test_p_value_counts_subjects() -> None:
    found = calibration_of((1.0, 3.0), (2.0,), (5.0, 5.0, 0.0))
    assert found.p_value(6) == pytest.approx(1 / 4)
    assert found.p_value(5) == pytest.approx((1 + 2 / 3) / 4)
    assert found.p_value(2) == pytest.approx((1 + 1 / 2 + 1 + 2 / 3) / 4)
    assert found.p_value(-1) == 1.0
    assert (found.n_subjects, found.n_scans, found.smallest_p) == (3, 6, 0.25)


@given(
    st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=4), min_size=4, max_size=12),
    st.integers(-1, 11),
    st.sampled_from([0.2, 0.25, 0.5, 0.9]),
)
def test_score_threshold_agrees_with_the_p_value(groups: list[list[int]], score: int, alpha: float) -> None:
    found = calibration_of(*(tuple(map(float, group)) for group in groups))
    assert (score > found.score_threshold(alpha)) == (found.p_value(score) <= alpha)


def test_alpha_that_n_cannot_support_is_refused_in_words() -> None:
    found = calibration_of(*[(float(i),) for i in range(8)])
    with pytest.raises(BadInput) as caught:
        found.check_alpha(0.05)
    assert str(caught.value) == (
        "with 8 healthy subjects no p-value can be below 1/9 = 0.111; "
        "ask for --alpha 0.12 or calibrate on at least 19 subjects for 0.05"
    )
    found.check_alpha(0.12)
    found.check_alpha(1 / 9)
    for alpha in (0.0, 1.0, -0.1, math.nan):
        with pytest.raises(BadInput, match="between 0 and 1"):
            found.check_alpha(alpha)


@pytest.mark.parametrize("alpha", [0.5, 0.2, 0.1, 0.05, 0.01, 0.001, 0.03, 0.07])
def test_the_advice_holds(alpha: float) -> None:
    few = calibration_of((1.0,))
    needed = int(few.why_not(alpha).split("at least ")[1].split()[0])
    calibration_of(*[(float(i),) for i in range(needed)]).check_alpha(alpha)
    if needed > 1:
        with pytest.raises(BadInput):
            calibration_of(*[(float(i),) for i in range(needed - 1)]).check_alpha(alpha)
    for count in range(1, 60):
        some = calibration_of(*[(float(i),) for i in range(count)])
        some.check_alpha(min(0.999, float(some.why_not(alpha).split("--alpha ")[1].split()[0])))


def test_round_trip_through_json() -> None:
    generator = np.random.default_rng(0)
    found = built({f"patient-{i}": [generator.random((6, 6, 1)).astype(np.float32)] for i in range(5)})
    text = json.dumps(found.to_json(), allow_nan=False)
    assert Calibration.from_json(json.loads(text)) == found
    assert "patient" not in text


@pytest.mark.parametrize("saved", [None, [], {}, {"thresholds": {}, "scores": [], "n_scans": 0}])
def test_other_json_is_refused(saved: object) -> None:
    with pytest.raises(ValueError, match="calibration"):
        Calibration.from_json(saved)


def test_no_healthy_subject_is_an_error() -> None:
    with pytest.raises(BadInput, match="no healthy scan"):
        CalibrationBuilder().finish()
    empty = CalibrationBuilder().add("a", np.ones((4, 4, 1)), np.zeros((4, 4, 1), bool), 0.0)
    with pytest.raises(BadInput, match="no healthy scan"):
        empty.finish()


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        CalibrationBuilder().add("a", np.ones((4, 4, 1)), np.ones((4, 4, 2), bool), 0.0)
    with pytest.raises(ValueError, match="NaN"):
        CalibrationBuilder().add("a", np.full((4, 4, 1), np.nan), np.ones((4, 4, 1), bool), 0.0)
    with pytest.raises(ValueError, match="not a number"):
        CalibrationBuilder().add("a", np.ones((4, 4, 1)), np.ones((4, 4, 1), bool), math.nan)


def test_where_nearly_all_healthy_voxels_are_0_pictures_take_the_next_stricter_threshold() -> None:
    """The smallest number that is told from 0 was taken for a threshold, and every picture was saturated."""
    values = np.zeros(20_000, np.float32)
    values[:60] = np.linspace(0.1, 1.0, 60)
    builder = CalibrationBuilder()
    for subject in "abc":
        builder.add(subject, values, np.ones(values.shape, bool), 0.5)
    drawn = builder.finish().drawn_at(0.01)
    assert drawn is not None and drawn[0] > 0.05 and drawn[1] < 0.01


def test_a_score_that_is_no_number_has_no_p_value() -> None:
    """It had the smallest one."""
    with pytest.raises(ValueError, match="not a number"):
        calibration_of((1.0,), (2.0,), (3.0,)).p_value(float("nan"))
