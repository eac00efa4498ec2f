"""The script that compares rules on the same healthy images."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from tests.benchmarks.scripts import script
from tests.cohorts import write_pictures
from tests.methods.scenes import built, tiny
from unlesion.calibration.codes import encode
from unlesion.detector import Detector, roi_of
from unlesion.errors import BadInput
from unlesion.prepare import load_recipe
from unlesion.scans import Cohort
from unlesion.scoring import ScoringConfig, make_scorer
from unlesion.sweep import sweep
from unlesion.training.scorers import scorers_of

patch = script("patch")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures"), healthy=2, anomalous=4)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose network learnt nothing: it draws something, and what is of no matter here."""
    method = tiny("vae")
    detector = Detector(
        recipe=load_recipe("slices", {"size": 32}),
        method=method,
        network=built(method),
        scorers=scorers_of(method, {}),
    )
    out = tmp_path_factory.mktemp("runs") / "small"
    detector.save(out)
    return out


def test_the_table_holds_what_the_scorers_find(
    manifest: Path, saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    patch.main([str(manifest), str(saved)])
    first, second, *_ = capsys.readouterr().out.split("\n\n")
    head, _, row = first.splitlines()
    assert head.count("|") == row.count("|") == len(patch.RULES) + 2
    shown = [float(cell.split()[0]) for cell in row.split("|")[2:-1]]
    run = Detector.load(saved)
    for number, settings in zip(shown, patch.RULES.values(), strict=True):
        scorer = make_scorer(ScoringConfig.model_validate(settings))
        scores, truth = [], []
        for swept in sweep(Cohort.open(manifest).select(split="test"), run.recipe):
            assert swept.scan is not None and swept.prepared is not None
            roi = roi_of(swept.scan, swept.prepared)
            scores.append(swept.prepared.restore(scorer.map(run.evidence(swept.prepared)))[roi])
            lesions = swept.scan.lesions
            truth.append(np.zeros(int(roi.sum()), bool) if lesions is None else lesions[roi])
        expected = average_precision_score(np.concatenate(truth), encode(np.concatenate(scores)))
        # Shown with three digits.
        assert number == pytest.approx(expected, abs=6e-4)
    gained = [float(found) for found in re.findall(r"([+-]\d\.\d{3}) \[", second)]
    wanted = [*(other - shown[0] for other in shown[1:]), shown[3] - shown[2]]
    assert gained == pytest.approx(wanted, abs=2e-3)


def test_settings_go_for_all_rules() -> None:
    scorers = patch.scorers_with({"sign": "bright", "patch": {"size_mm": 20.0}})
    assert {scorer.config.sign for scorer in scorers.values()} == {"bright"}
    assert [name for name in scorers if scorers[name].config.patch.search_mm == 0] == ["patch, no search"]
    assert scorers["patch, search"].config.patch.size_mm == 20
    for wrong in ({"standardise": True}, {"patch": {"search_mm": 0}}, {"patch": {"size": 3}}):
        with pytest.raises(BadInput):
            patch.scorers_with(wrong)


def test_what_cannot_be_measured_is_said(manifest: Path, saved: Path, tmp_path: Path) -> None:
    for words in (
        [str(manifest), str(tmp_path / "nothing")],
        [str(manifest), str(saved), "--split", "train"],
        [str(manifest), str(saved), "--set", "method.sigma=1"],
    ):
        with pytest.raises(SystemExit) as stopped:
            patch.main(words)
        assert isinstance(stopped.value.code, str)
