"""Weights of a finished run for one that differs in detection or scoring only."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from unlesion.cli.app import run as command
from unlesion.detector import Detector
from unlesion.errors import BadInput
from unlesion.files import read_json, write_json
from unlesion.training import train

SCORED = {"standardise": True}


def learnt(
    pictures: Path, out: Path, *, seed: int = 0, method: Any = None, steps: Any = 4, **more: Any
) -> Detector:
    settings = {"method": {"width": 4, **(method or {})}, "scoring": more.pop("scoring", {})}
    return train(
        pictures,
        method="ddpm",
        preset="tiny",
        recipe="slices",
        out=out,
        seed=seed,
        steps=steps,
        settings=settings,
        device="cpu",
        **more,
    )


@pytest.fixture(scope="module")
def first(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reuse") / "first"
    learnt(pictures, out)
    return out


def test_the_run_is_that_of_a_whole_training(pictures: Path, first: Path, tmp_path: Path) -> None:
    other = {"t_test": (250, 750), "sampler": "ddim", "steps": 2}
    whole = learnt(pictures, tmp_path / "whole", method=other, scoring=SCORED)
    taken = learnt(pictures, tmp_path / "taken", method=other, scoring=SCORED, steps=None, weights=first)
    assert taken.record["weights_of"] == "first"
    assert taken.record["steps"] == whole.record["steps"] == {"diffusion": 4}
    assert taken.record["repeat"] == whole.record["repeat"]
    one, two = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "taken"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    saved = [read_json(tmp_path / name / "detector.json") for name in ("whole", "taken")]
    for part in ("method", "scoring", "calibration", "profile"):
        assert saved[0][part] == saved[1][part], part
    files = [sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("whole", "taken")]
    assert files[0] == files[1]
    # What was taken can be taken on.
    again = learnt(pictures, tmp_path / "again", steps=None, weights=tmp_path / "taken")
    assert again.calibrations["native"].to_json() == Detector.load(first).calibrations["native"].to_json()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"seed": 1}, "another seed"),
        ({"method": {"learning_rate": 0.1}}, "another method.learning_rate"),
        ({"steps": 4}, "leave out --minutes and --steps"),
    ],
)
def test_another_training_is_refused(
    pictures: Path, first: Path, tmp_path: Path, given: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadInput, match=words):
        learnt(pictures, tmp_path / "x", **{"steps": None, **given}, weights=first)
    assert not (tmp_path / "x").exists()


def test_runs_that_are_none_are_refused(pictures: Path, first: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="not a run of `unlesion train`"):
        learnt(pictures, tmp_path / "x", steps=None, weights=tmp_path / "nothing")
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "training.json").write_bytes((first / "training.json").read_bytes())
    with pytest.raises(BadInput, match="not a finished run"):
        learnt(pictures, tmp_path / "x", steps=None, weights=tmp_path / "begun")


def changed(first: Path, out: Path, **record: Any) -> Path:
    """A copy of the first run with other words in its record."""
    shutil.copytree(first, out)
    saved = read_json(out / "detector.json")
    saved["record"].update(record)
    write_json(out / "detector.json", saved)
    return out


def test_the_device_is_that_of_learning(pictures: Path, first: Path, tmp_path: Path) -> None:
    elsewhere = changed(first, tmp_path / "elsewhere", device="cuda")
    taken = learnt(pictures, tmp_path / "x", steps=None, weights=elsewhere)
    assert taken.record["device"] == "cuda"
    assert taken.record["repeat"].endswith("--device cuda")


def test_a_cohort_whose_scans_changed_is_refused(pictures: Path, first: Path, tmp_path: Path) -> None:
    prints = Detector.load(first).record["met"]["learnt"].split()
    other = " ".join(["0" * 12, *prints[1:]])
    run = changed(first, tmp_path / "run", met={"learnt": other})
    with pytest.raises(BadInput, match="1 scan of its cohort changed since; train anew"):
        learnt(pictures, tmp_path / "x", steps=None, weights=run)
    assert not (tmp_path / "x").exists()
    fewer = changed(first, tmp_path / "fewer", slices=3)
    with pytest.raises(BadInput, match="learnt from 3 slices, now there are"):
        learnt(pictures, tmp_path / "y", steps=None, weights=fewer)


def test_weights_of_another_version_are_refused_before_anything_is_prepared(
    pictures: Path, first: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(first, tmp_path / "run")
    saved = read_json(run / "detector.json")
    saved["method"]["version"] += 1
    write_json(run / "detector.json", saved)
    with pytest.raises(BadInput, match="trained with version"):
        learnt(pictures, tmp_path / "x", steps=None, weights=run)
    assert not (tmp_path / "x").exists()


def test_a_finished_run_needs_what_it_took_no_more(pictures: Path, first: Path, tmp_path: Path) -> None:
    shutil.copytree(first, tmp_path / "gone")
    learnt(pictures, tmp_path / "x", steps=None, weights=tmp_path / "gone")
    shutil.rmtree(tmp_path / "gone")
    before = (tmp_path / "x" / "detector.json").read_bytes()
    learnt(pictures, tmp_path / "x", steps=None, weights=tmp_path / "gone", resume=True)
    assert (tmp_path / "x" / "detector.json").read_bytes() == before


def test_the_option(pictures: Path, first: Path, tmp_path: Path) -> None:
    words = [
        "train",
        pictures,
        "--method",
        "ddpm",
        "--preset",
        "tiny",
        "--recipe",
        "slices",
        "--device",
        "cpu",
    ]
    words += ["--set", "method.width=4", "--set", "method.t_test=[100,900]", "--weights", first]
    words += ["--out", tmp_path / "out", "--jobs", 1, "--quiet"]
    assert command([str(word) for word in words]) == 0
    assert Detector.load(tmp_path / "out").method.config.t_test == (100, 900)  # type: ignore[attr-defined]
