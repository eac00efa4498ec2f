from __future__ import annotations

import numpy as np
import pytest

from tests.scoring.fakes import evidence
from unlesion.scoring import PostConfig, ScanEvidence, Scorer, ScoringConfig, make_scorer, pool_map

PLAIN = PostConfig(median_mm=0, median_volume_mm=0)


def healthy_evidence(count: int, *, seed: int = 0, slices: int = 4):  # type: ignore[no-untyped-def]
    """Scans whose residual at row r is N(0.1, (0.02 + 0.01 r)²)."""
    generator = np.random.default_rng(seed)
    spread = 0.02 + 0.01 * np.arange(16)[:, None]
    for _ in range(count):
        residual = 0.1 + spread * generator.standard_normal((slices, 1, 16, 16))
        healthy = np.full((slices, 1, 16, 16), 0.5)
        yield evidence(healthy + residual, healthy)


def test_scan_score_is_the_mean_of_the_highest_percent() -> None:
    roi = np.zeros((1, 40, 40), bool)
    roi[0, :20] = True
    maps = np.zeros((1, 40, 40), np.float32)
    maps[0, 0, :8] = np.arange(8)
    maps[0, 30] = 100
    # 800 pixels inside: the highest 8.
    assert Scorer(ScoringConfig()).scan_score(maps, roi) == pytest.approx(3.5)
    assert Scorer(ScoringConfig(pool="max")).scan_score(maps, roi) == 7
    assert Scorer(ScoringConfig(pool="mean")).scan_score(maps, roi) == pytest.approx(28 / 800)


def test_scan_score_of_an_empty_roi_is_zero() -> None:
    assert pool_map(np.ones((1, 4, 4)), np.zeros((1, 4, 4), bool)) == 0


def test_nothing_is_stretched_per_scan() -> None:
    scorer = make_scorer(ScoringConfig(post=PLAIN))
    healthy = np.zeros((1, 1, 16, 16), np.float32)
    faint = scorer.map(evidence(healthy + 0.1, healthy))
    strong = scorer.map(evidence(healthy + 0.4, healthy))
    np.testing.assert_allclose(strong, 4 * faint, rtol=1e-6)


def test_standardised_healthy_scans_have_about_unit_variance() -> None:
    scorer = make_scorer(ScoringConfig(standardise=True, height_bins=2, sd_floor=1e-3, post=PLAIN))
    assert scorer.needs_fit
    scorer.fit(healthy_evidence(60))
    assert not scorer.needs_fit
    seen = np.stack([scorer.map(one) for one in healthy_evidence(40, seed=1)])
    # Each pixel's SD is shrunk a little to that of all, so rows differ somewhat.
    assert np.sqrt((seen**2).mean()) == pytest.approx(1.0, abs=0.1)
    by_row = np.sqrt((seen**2).mean(axis=(0, 1, 3)))
    assert by_row.max() < 1.3


def test_standardising_needs_fitting_first() -> None:
    scorer = make_scorer(ScoringConfig(standardise=True))
    with pytest.raises(ValueError, match="not fitted"):
        scorer.map(next(iter(healthy_evidence(1))))
    with pytest.raises(ValueError, match="no healthy evidence"):
        scorer.fit([])


def test_the_floor_holds_where_healthy_scans_agree() -> None:
    scorer = make_scorer(ScoringConfig(standardise=True, sd_floor=0.05, post=PLAIN))
    flat = np.full((1, 1, 16, 16), 0.5)
    scorer.fit([evidence(flat, flat)] * 3)
    found = scorer.map(evidence(flat + 0.1, flat))
    np.testing.assert_allclose(found, 2.0, rtol=1e-5)


def test_heights_have_their_own_norm() -> None:
    scorer = make_scorer(ScoringConfig(standardise=True, height_bins=2, sd_floor=0.01, post=PLAIN))
    low = np.asarray([0.1], np.float32)
    high = np.asarray([0.9], np.float32)
    flat = np.full((1, 1, 16, 16), 0.5)
    wobble = np.random.default_rng(0).standard_normal((50, 1, 1, 16, 16))
    scorer.fit(
        evidence(flat + w * s, flat, positions=p) for w in wobble for s, p in ((0.2, low), (0.02, high))
    )
    here = evidence(flat + 0.1, flat, positions=low), evidence(flat + 0.1, flat, positions=high)
    assert scorer.map(here[1]).mean() > 5 * scorer.map(here[0]).mean()


def test_state_goes_into_another_scorer() -> None:
    config = ScoringConfig(standardise=True, height_bins=3)
    first = make_scorer(config).fit(healthy_evidence(5))
    second = make_scorer(config)
    second.load_state_dict(first.state_dict())
    one = next(iter(healthy_evidence(1, seed=9)))
    np.testing.assert_array_equal(first.map(one), second.map(one))
    assert all(isinstance(value, np.ndarray) for value in first.state_dict().values())


def test_state_of_another_scorer_is_refused() -> None:
    fitted = make_scorer(ScoringConfig(standardise=True, height_bins=3)).fit(healthy_evidence(2))
    with pytest.raises(ValueError, match="expected"):
        make_scorer(ScoringConfig()).load_state_dict(fitted.state_dict())
    with pytest.raises(ValueError, match="height bins"):
        make_scorer(ScoringConfig(standardise=True, height_bins=4)).load_state_dict(fitted.state_dict())
    make_scorer(ScoringConfig()).load_state_dict({})


def test_plain_scoring_reads_no_healthy_evidence() -> None:
    def never():  # type: ignore[no-untyped-def]
        raise AssertionError("read")
        yield

    make_scorer(ScoringConfig()).fit(never())


def test_less_than_usual_of_a_distance_is_not_unusual() -> None:
    """Of a method's own map without values below 0, voxels that were less unusual than in healthy scans counted as anomalous."""
    config = ScoringConfig(rule="map:kl", standardise=True, post=PLAIN)

    def seen(value: float) -> ScanEvidence:
        own = np.full((1, 4, 4), value, np.float32)
        return evidence(np.ones((1, 1, 4, 4)), maps={"kl": own}, positions=np.array([0.5], np.float32))

    scorer = make_scorer(config).fit([seen(value) for value in (0.4, 0.5, 0.6)])
    usual, less, more = (float(scorer.map(seen(value)).mean()) for value in (0.5, 0.0, 1.0))
    assert less == 0.0 <= usual < more
    # A map with values below 0 keeps both signs, and what was learnt says which it is.
    both = make_scorer(config).fit([seen(value) for value in (-0.5, 0.5)])
    assert float(both.map(seen(-2.0)).mean()) > 0
    again = make_scorer(config)
    again.load_state_dict(scorer.state_dict())
    assert float(again.map(seen(0.0)).mean()) == 0.0
    # In whatever units the map is.
    small = make_scorer(config).fit([seen(value * 1e-3) for value in (0.4, 0.5, 0.6)])
    assert float(small.map(seen(1e-3)).mean()) == pytest.approx(more, rel=1e-3)
    # A sign that is asked for does not make grey values of it.
    bright = config.model_copy(update={"sign": "bright"})
    signed = [
        make_scorer(bright).fit([seen(size * value) for value in (0.4, 0.5, 0.6)]).map(seen(size))
        for size in (1.0, 1e-3)
    ]
    np.testing.assert_allclose(signed[0], signed[1], rtol=1e-3)
    # Runs from before were calibrated with both signs.
    older = make_scorer(config)
    older.load_state_dict({name: value for name, value in scorer.state_dict().items() if name != "signed"})
    assert float(older.map(seen(0.0)).mean()) > 0
