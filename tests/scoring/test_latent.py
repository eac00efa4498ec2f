"""Dissimilarities of codes, against torch and closed forms, and the scan scores made of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.distributions import Normal, kl_divergence

from unlesion.errors import BadInput
from unlesion.scoring import Scorer, ScoringConfig
from unlesion.scoring.latent import CODES, DISSIMILARITIES, dissimilarity

NAMES = pytest.mark.parametrize("name", sorted(DISSIMILARITIES))


def codes(seed: int = 0, *, slices: int = 6, size: int = 5) -> dict[str, NDArray[np.float32]]:
    generator = np.random.default_rng(seed)
    return {name: generator.standard_normal((slices, size)).astype(np.float32) for name in CODES}


def swapped(latent: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    return {
        "mu": latent["mu_redrawn"],
        "log_sigma": latent["log_sigma_redrawn"],
        "mu_redrawn": latent["mu"],
        "log_sigma_redrawn": latent["log_sigma"],
    }


def test_every_setting_has_its_formula() -> None:
    offered = ScoringConfig.model_json_schema()["properties"]["scan"]["enum"]
    assert set(offered) == {"map", *DISSIMILARITIES}


@NAMES
def test_same_codes_are_not_apart_and_the_order_does_not_matter(name: str) -> None:
    latent = codes()
    there, back = dissimilarity(name, latent), dissimilarity(name, swapped(latent))
    np.testing.assert_allclose(there, back, rtol=1e-6)
    assert (there > 0).all()
    equal = {**latent, "mu_redrawn": latent["mu"], "log_sigma_redrawn": latent["log_sigma"]}
    np.testing.assert_allclose(dissimilarity(name, equal), 0.0, atol=1e-6)


def test_divergence_is_that_of_torch() -> None:
    latent = codes()
    mean, log_sigma, mean_2, log_sigma_2 = (torch.from_numpy(latent[name]).double() for name in CODES)
    first, second = Normal(mean, log_sigma.exp()), Normal(mean_2, log_sigma_2.exp())
    expected = (kl_divergence(first, second) + kl_divergence(second, first)).sum(1)
    np.testing.assert_allclose(dissimilarity("latent-kl", latent), expected.numpy(), rtol=1e-6)


def test_closed_forms() -> None:
    latent = {
        "mu": np.asarray([[3.0, 0.0]], np.float32),
        "log_sigma": np.log(np.asarray([[1.0, 2.0]], np.float32)),
        "mu_redrawn": np.asarray([[0.0, 4.0]], np.float32),
        "log_sigma_redrawn": np.log(np.asarray([[1.0, 5.0]], np.float32)),
    }
    assert dissimilarity("latent-l2", latent) == pytest.approx(5.0)
    assert dissimilarity("latent-cosine", latent) == pytest.approx(1.0)
    assert dissimilarity("latent-w2", latent) == pytest.approx(25.0 + 9.0, rel=1e-6)


def test_fisher_rao_is_the_length_of_the_geodesic() -> None:
    # Between normal distributions of one mean it is sqrt(2) |log(sigma / sigma_2)|.
    one = np.zeros((1, 1), np.float32)
    latent = {"mu": one, "log_sigma": one, "mu_redrawn": one, "log_sigma_redrawn": one + 0.7}
    assert dissimilarity("latent-fisher-rao", latent) == pytest.approx(math.sqrt(2) * 0.7, rel=1e-5)
    # Nearby distributions: sqrt(d_mu² + 2 d_sigma²) / sigma, the metric itself.
    near = {
        "mu": one,
        "log_sigma": one + math.log(2.0),
        "mu_redrawn": one + 0.003,
        "log_sigma_redrawn": one + math.log(2.004),
    }
    expected = math.sqrt(0.003**2 + 2 * 0.004**2) / 2.002
    assert dissimilarity("latent-fisher-rao", near) == pytest.approx(expected, rel=1e-3)


def test_slices_are_pooled_as_pixels_are_and_empty_ones_left_out() -> None:
    latent = codes(slices=4)
    latent["mu_redrawn"][3] += 100.0
    apart = dissimilarity("latent-l2", latent)
    roi = np.ones((4, 8, 8), bool)
    maps = np.zeros((4, 8, 8), np.float32)

    def score(pool: str) -> float:
        scorer = Scorer(ScoringConfig.model_validate({"scan": "latent-l2", "pool": pool}))
        return scorer.scan_score(maps, roi, latent=latent)

    assert score("max") == score("top") == pytest.approx(apart[3])
    assert score("mean") == pytest.approx(apart.mean())
    roi[3] = False
    assert score("max") == pytest.approx(apart[:3].max())


def test_methods_without_codes_are_refused_in_words() -> None:
    scorer = Scorer(ScoringConfig(scan="latent-w2"))
    maps, roi = np.zeros((1, 4, 4), np.float32), np.ones((1, 4, 4), bool)
    for latent in (None, {}, {"mu": np.zeros((1, 3), np.float32)}):
        with pytest.raises(BadInput, match="no distribution of codes"):
            scorer.scan_score(maps, roi, latent=latent)
    with pytest.raises(ValueError, match="latent-l2"):
        ScoringConfig.model_validate({"scan": "latent"})
