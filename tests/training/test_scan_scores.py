"""What the scan score is made of, from training to detection."""

from __future__ import annotations

from pathlib import Path

import pytest

from unlesion.detector import Detector
from unlesion.errors import BadInput
from unlesion.scans import Cohort
from unlesion.scoring.latent import dissimilarity
from unlesion.training import train


def test_a_run_scores_scans_by_their_codes(pictures: Path, tmp_path: Path) -> None:
    train(
        pictures,
        method="vae",
        out=tmp_path / "run",
        preset="tiny",
        steps=3,
        device="cpu",
        settings={"scoring": {"scan": "latent-w2"}},
    )
    detector = Detector.load(tmp_path / "run")
    scan = Cohort.open(pictures)[0].read()
    found = detector.detect(scan)
    evidence = detector.evidence(detector.prepare(scan))
    assert found.score == pytest.approx(float(dissimilarity("latent-w2", evidence.latent)[0]))
    assert found.p_value is not None
    # What no scoring reads is there for those who ask.
    assert "combi" not in evidence.maps
    assert "combi" in detector.evidence(detector.prepare(scan), everything=True).maps
    # Shared scoring stays the same for all methods.
    assert detector.scorers["shared"].config.scan == "map"
    scores = detector.maps(scan, detector.prepare(scan), evidence)
    assert scores["native"][2] == pytest.approx(found.score)
    assert scores["shared"][2] != pytest.approx(found.score)


def test_a_method_without_codes_is_refused_before_it_trains(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"scoring\.scan=latent-kl: dae gives no distribution of codes"):
        train(
            pictures,
            method="dae",
            out=tmp_path / "run",
            preset="tiny",
            steps=3,
            device="cpu",
            settings={"scoring": {"scan": "latent-kl"}},
        )
    assert not (tmp_path / "run").exists()


def test_a_methods_own_pooling_is_not_shared(pictures: Path, tmp_path: Path) -> None:
    detector = train(pictures, method="ra", out=tmp_path / "run", preset="tiny", steps=3, device="cpu")
    assert detector.scorers["native"].config.pool == "mean"
    assert detector.scorers["shared"].config.pool == "top"
    assert detector.scorers["native"].config.rule == "map:norm95"
