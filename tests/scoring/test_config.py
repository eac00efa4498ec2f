from __future__ import annotations

import pytest
from pydantic import ValidationError

from unlesion.scoring import PostConfig, ScoringConfig


def test_defaults_are_the_plain_residual() -> None:
    config = ScoringConfig()
    assert (config.rule, config.sign, config.standardise, config.pool) == ("residual", "both", False, "top")


@pytest.mark.parametrize("rule", ["residual", "ssim", "map:kl", "residual*map:kl", "ssim*residual"])
def test_known_rules(rule: str) -> None:
    assert "*".join(ScoringConfig(rule=rule).factors) == rule


@pytest.mark.parametrize(
    "values",
    [
        {"rule": "psnr"},
        {"rule": "residual*"},
        {"rule": "map:"},
        {"rule": "residual*ssim", "standardise": True},
        {"sign": "left"},
        {"pool_fraction": 0},
        {"median": 3},
        {"post": {"median": 3}},
        {"post": {"median_mm": -1}},
    ],
)
def test_bad_settings_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ScoringConfig.model_validate(values)


def test_records_from_before_latent_scan_scores_keep_their_identity() -> None:
    assert "scan" not in ScoringConfig().model_dump(mode="json")
    config = ScoringConfig(scan="latent-w2")
    assert config.model_dump(mode="json")["scan"] == "latent-w2"
    assert ScoringConfig.model_validate(config.model_dump(mode="json")) == config


def test_round_trip_through_json() -> None:
    config = ScoringConfig(rule="map:z", sign="bright", post=PostConfig(median_mm=0))
    assert ScoringConfig.model_validate(config.model_dump(mode="json")) == config
