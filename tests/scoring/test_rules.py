from __future__ import annotations

import numpy as np
import pytest

from tests.scoring.fakes import evidence
from unlesion.errors import BadInput
from unlesion.scoring import PostConfig, ScoringConfig, make_scorer

PLAIN = PostConfig(median_mm=0, median_volume_mm=0)


def scan_and_healthy() -> tuple[np.ndarray, np.ndarray]:
    healthy = np.full((1, 1, 16, 16), 0.5, np.float32)
    scan = healthy.copy()
    scan[0, 0, 4, 4] += 0.3
    scan[0, 0, 9, 9] -= 0.2
    return scan, healthy


@pytest.mark.parametrize(
    ("sign", "bright", "dark"), [("both", 0.3, 0.2), ("bright", 0.3, 0.0), ("dark", 0.0, 0.2)]
)
def test_sign_of_the_residual(sign: str, bright: float, dark: float) -> None:
    scan, healthy = scan_and_healthy()
    scorer = make_scorer(ScoringConfig(sign=sign, post=PLAIN))  # type: ignore[arg-type]
    found = scorer.map(evidence(scan, healthy))
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found[0, 4, 4] == pytest.approx(bright)
    assert found[0, 9, 9] == pytest.approx(dark)


def test_nothing_outside_the_roi() -> None:
    scan, healthy = scan_and_healthy()
    roi = np.zeros((1, 16, 16), bool)
    roi[0, 8:, 8:] = True
    for rule in ("residual", "ssim", "map:own"):
        found = make_scorer(ScoringConfig(rule=rule)).map(
            evidence(scan, healthy, roi=roi, maps={"own": np.ones((1, 16, 16), np.float32)})
        )
        assert not found[~roi].any()
        assert found.shape == (1, 16, 16)


def test_channels_join_by_mean_or_maximum() -> None:
    healthy = np.zeros((1, 2, 16, 16), np.float32)
    scan = healthy.copy()
    scan[0, 0], scan[0, 1] = 0.2, -0.6
    mean = make_scorer(ScoringConfig(post=PLAIN)).map(evidence(scan, healthy))
    largest = make_scorer(ScoringConfig(channels="max", post=PLAIN)).map(evidence(scan, healthy))
    np.testing.assert_allclose(mean, 0.4, rtol=1e-6)
    np.testing.assert_allclose(largest, 0.6, rtol=1e-6)


def test_ssim_looks_only_where_the_sign_fits() -> None:
    scan, healthy = scan_and_healthy()
    both = make_scorer(ScoringConfig(rule="ssim", post=PLAIN)).map(evidence(scan, healthy))
    bright = make_scorer(ScoringConfig(rule="ssim", sign="bright", post=PLAIN)).map(evidence(scan, healthy))
    assert both[0, 9, 9] > 0.1
    assert bright[0, 4, 4] == both[0, 4, 4] > 0.1
    assert bright[0, 9, 9] == 0


def test_a_product_of_rules() -> None:
    scan, healthy = scan_and_healthy()
    own = np.full((1, 16, 16), 2.0, np.float32)
    found = make_scorer(ScoringConfig(rule="residual*map:kl", post=PLAIN)).map(
        evidence(scan, healthy, maps={"kl": own})
    )
    np.testing.assert_allclose(found, 2 * np.abs(scan - healthy)[:, 0], rtol=1e-6)


def test_missing_evidence_says_what_there_is() -> None:
    scan, healthy = scan_and_healthy()
    own = {"z": np.ones((1, 16, 16), np.float32)}
    with pytest.raises(BadInput, match=r"no healthy image.*map:z"):
        make_scorer(ScoringConfig()).map(evidence(scan, maps=own))
    with pytest.raises(BadInput, match=r"no map 'kl'.*map:z"):
        make_scorer(ScoringConfig(rule="map:kl")).map(evidence(scan, healthy, maps=own))


def test_own_maps_without_a_sign_get_that_of_the_residual() -> None:
    """ "bright" was the same as "both", "dark" a map of zeros, and the record said otherwise."""
    images, healthy = np.full((1, 1, 4, 4), 0.5), np.full((1, 1, 4, 4), 0.5)
    images[..., 0, 0], images[..., 1, 1] = 0.9, 0.1
    distance = np.abs(images - healthy)[:, 0].astype(np.float32)
    found = evidence(images, healthy, maps={"d": distance})

    def marked(sign: str) -> list[tuple[int, ...]]:
        scorer = make_scorer(ScoringConfig.model_validate({"rule": "map:d", "sign": sign}))
        return [tuple(place) for place in np.argwhere(scorer.map(found, post=False)[0] > 0).tolist()]

    assert marked("both") == [(0, 0), (1, 1)]
    assert marked("bright") == [(0, 0)] and marked("dark") == [(1, 1)]
    # One that has a sign of its own keeps it.
    signed = evidence(images, healthy, maps={"d": (healthy - images)[:, 0].astype(np.float32)})
    scorer = make_scorer(ScoringConfig.model_validate({"rule": "map:d", "sign": "bright"}))
    assert np.argwhere(scorer.map(signed, post=False)[0] > 0).tolist() == [[1, 1]]
    with pytest.raises(BadInput, match="sign=dark"):
        make_scorer(ScoringConfig.model_validate({"rule": "map:d", "sign": "dark"})).map(
            evidence(images, maps={"d": distance})
        )
