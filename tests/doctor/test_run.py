from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.cohorts import write_pictures
from unlesion.cli.app import run as unlesion
from unlesion.doctor import Finding, examine_run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the quickest method with weights."""
    folder = tmp_path_factory.mktemp("doctor-run")
    write_pictures(folder / "data", train=4, val=3)
    words = ["train", folder / "data", "--method", "dae", "--preset", "tiny", "--steps", "10"]
    assert unlesion([str(word) for word in [*words, "--out", folder / "run", "--jobs", "1", "--quiet"]]) == 0
    return folder / "run"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def _found(run: Path) -> dict[str, Finding]:
    return {finding.code: finding for finding in examine_run(run).findings}


def _change(run: Path, **values: object) -> None:
    saved = json.loads((run / "detector.json").read_text(encoding="utf-8"))
    (run / "detector.json").write_text(json.dumps(saved | values), encoding="utf-8")


def test_a_sound_run_says_what_its_calibration_allows(run: Path) -> None:
    found = _found(run)
    assert set(found) == {"run.calibration"}
    assert found["run.calibration"].value == pytest.approx(1 / 4)
    assert found["run.calibration"].level == "warning"
    assert "3 healthy subjects" in found["run.calibration"].what


def test_a_run_that_is_not_calibrated(run: Path) -> None:
    _change(run, calibration={})
    assert _found(run)["run.not-calibrated"].level == "warning"


def test_weights_that_are_not_finite(run: Path) -> None:
    from safetensors.numpy import load_file, save_file

    weights = load_file(run / "weights.safetensors")
    name = next(n for n, w in weights.items() if n.startswith("network.") and w.dtype == np.float32)
    weights[name] = np.full_like(weights[name], np.nan)
    save_file(weights, run / "weights.safetensors")
    found = _found(run)["run.weights-not-finite"]
    assert found.level == "error"
    assert found.where == (name.removeprefix("network."),)


def test_a_recipe_that_was_changed(run: Path) -> None:
    saved = json.loads((run / "detector.json").read_text(encoding="utf-8"))
    _change(run, recipe=saved["recipe"] | {"digest": "0" * 16})
    found = _found(run)["run.does-not-load"]
    assert found.level == "error"
    assert "recipe" in found.what


def test_damage_is_named(run: Path) -> None:
    (run / "weights.safetensors").write_bytes(b"none")
    (run / "card.md").unlink()
    (run / "history.csv").write_text("stage,step\nx,1\n", encoding="utf-8")
    found = _found(run)
    assert found["run.does-not-load"].level == "error"
    assert {"run.no-card", "run.history-damaged"} <= set(found)


def test_a_loss_that_was_not_finite(run: Path) -> None:
    with (run / "history.csv").open("a", encoding="utf-8") as stream:
        stream.write("train,20,0.1,nan,\n")
    found = _found(run)["run.loss-not-finite"]
    assert found.level == "error"
    assert found.where == ("train, step 20",)


def test_a_training_cut_short(run: Path) -> None:
    begun = json.loads((run / "training.json").read_text(encoding="utf-8"))
    (run / "training.json").write_text(json.dumps(begun | {"steps": "50"}), encoding="utf-8")
    assert "10 of 50" in _found(run)["run.cut-short"].what
    (run / "detector.json").unlink()
    assert "did not finish" in _found(run)["run.does-not-load"].what


def test_other_versions(run: Path) -> None:
    saved = json.loads((run / "detector.json").read_text(encoding="utf-8"))
    saved["record"]["versions"]["numpy"] = "1.0.0"
    _change(run, record=saved["record"])
    found = _found(run)["run.other-versions"]
    assert "numpy 1.0.0" in found.what
    assert found.level == "note"
