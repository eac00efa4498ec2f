"""What a training reads, refuses, and writes down so that it can be repeated."""

from __future__ import annotations

import csv
import importlib
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from unlesion.cli.app import run as command
from unlesion.errors import BadInput
from unlesion.files import read_json
from unlesion.prepare import load_recipe
from unlesion.scans import Entry, Scan
from unlesion.settings import nested, parse_settings
from unlesion.training import train
from unlesion.training.repeat import repeat_words


def test_the_recorded_command_repeats_the_run(pictures: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "first run", tmp_path / "second run"
    given: list[Any] = ["train", pictures, "--method", "dae", "--preset", "tiny", "--seed", 5]
    given += ["--where", "label=healthy", "--where", "group=a,b", "--recipe", "slices"]
    given += [
        "--set",
        "method.sigma=0.3",
        "--set",
        "recipe.normalise.median_at=0.6",
        "--set",
        "scoring.sign=bright",
    ]
    given += ["--minutes", 0.03, "--jobs", 1, "--device", "cpu", "--quiet", "--out", one]
    assert command([str(word) for word in given]) == 0
    record = read_json(one / "detector.json")["record"]
    program, *words = shlex.split(record["command"])
    assert program == "unlesion"
    assert words[-2:] == ["--out", str(one)]
    assert command([*words[:-1], str(two), "--jobs", "1", "--quiet"]) == 0
    expected, found = load_file(one / "weights.safetensors"), load_file(two / "weights.safetensors")
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, found[name]), name
    first, second = read_json(one / "detector.json"), read_json(two / "detector.json")
    for part in ("method", "recipe", "scoring", "calibration", "seed"):
        assert first[part] == second[part], part
    # Reports say COHORT for the path and RUN for the folder: the rest is all in this.
    assert "--where label=healthy --where group=a,b" in record["repeat"]


@pytest.mark.parametrize("value", [0.3, 1e-5, "1e-3", 7, True, None, "bright", "a: b", [16, 32], {"high": 9}])
def test_settings_are_said_as_they_are_read(value: Any) -> None:
    words = repeat_words(
        method="dae",
        preset="tiny",
        seed=0,
        recipe=None,
        settings={"method": {"x.y": value}},
        steps=None,
        device="cpu",
        image_size=32,
    )
    read = parse_settings([words[words.index("--set") + 1]])
    assert read["method"] == {"x.y": value}
    assert type(read["method"]["x.y"]) is type(value)


def test_a_recipe_is_said_as_its_name_and_what_differs() -> None:
    recipe = load_recipe("slices", {"size": 32, "normalise.median_at": 0.6})
    words = repeat_words(
        method="dae",
        preset="tiny",
        seed=0,
        recipe=recipe,
        settings={},
        steps=None,
        device="cpu",
        image_size=32,
    )
    assert words[words.index("--recipe") + 1] == "slices"
    assert words.count("--set") == 1
    settings = parse_settings([words[words.index("--set") + 1]])["recipe"]
    assert load_recipe("slices", {"size": 32, **settings}).digest == recipe.digest
    assert nested(settings) == {"normalise": {"median_at": 0.6}}


def test_anomalous_and_test_scans_are_never_read(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pictures.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    # Arrays, because their names do not say what they hold: the recipe is chosen by looking.
    for row in rows:
        array = np.asarray(Image.open(pictures.parent / row["path"]))
        row["path"] = row["path"].replace(".png", ".npy")
        row["mask_path"] = ""
        np.save(tmp_path / row["path"], array)
    with (tmp_path / "manifest.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        # The forbidden ones first, where looking would begin.
        writer.writerows(reversed(rows))
    read = Entry.read
    seen = set()

    def guarded(self: Entry) -> Scan:
        assert self.label == "healthy", self.key
        assert self.split in ("train", "val"), self.key
        seen.add(self.split)
        return read(self)

    monkeypatch.setattr(Entry, "read", guarded)
    train(tmp_path / "manifest.csv", method="dae", out=tmp_path / "run", preset="tiny", steps=2, device="cpu")
    assert seen == {"train", "val"}


def attempt(pictures: Path, out: Path, **options: Any) -> None:
    given = {"method": "dae", "preset": "tiny", "device": "cpu", "steps": 3, **options}
    train(pictures, out=out, **given)


@pytest.mark.parametrize("steps", ["x", "0", "train=3,more=2"])
def test_bad_steps_leave_nothing_behind(pictures: Path, tmp_path: Path, steps: str) -> None:
    out = tmp_path / "run"
    with pytest.raises(BadInput, match="--steps"):
        attempt(pictures, out, steps=steps)
    assert not out.exists()
    with pytest.raises(BadInput, match=r"scoring\.sign"):
        attempt(pictures, out, settings={"scoring": {"sign": "upwards"}})
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"method": "ra", "settings": {"recipe": {"size": 50}}}, "multiple of 8"),
        ({"method": "vq-vae", "settings": {"method": {"orders": 9}}}, "8 orders, not 9"),
        ({"method": "ra", "settings": {"method": {"perceptual_weights": ["a", "b"]}}}, "safetensors"),
        (
            {"method": "vae", "settings": {"scoring": {"rule": "residual*map:nope"}}},
            "map:nope.* own maps: map:",
        ),
    ],
)
def test_what_cannot_be_built_is_refused_before_scans_are_prepared(
    pictures: Path, tmp_path: Path, options: dict[str, Any], wanted: str
) -> None:
    out = tmp_path / "run"
    with pytest.raises(BadInput, match=wanted):
        attempt(pictures, out, **options)
    assert not out.exists()


def test_a_training_that_failed_before_learning_does_not_block_its_folder(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The package offers the function under the name of its module.
    module = importlib.import_module("unlesion.training.train")

    def full(*args: Any, **options: Any) -> Any:
        raise BadInput("the disk is full")

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(module, "prepare_cohort", full)
        with pytest.raises(BadInput, match="disk"):
            attempt(pictures, out)
    assert (out / "training.json").exists()
    attempt(pictures, out, seed=1)
    assert read_json(out / "training.json")["seed"] == 1
    with pytest.raises(BadInput, match="holds a run already"):
        attempt(pictures, out, seed=1)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("steps", {"steps": 4}),
        ("minutes", {"steps": None, "minutes": 0.1}),
        ("scoring", {"settings": {"scoring": {"sign": "bright"}}}),
        ("config", {"settings": {"method": {"sigma": 0.3}}}),
    ],
)
def test_resume_refuses_another_budget_or_scoring(
    pictures: Path, tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    out = tmp_path / "run"
    attempt(pictures, out)
    with pytest.raises(BadInput, match=f"another {name}"):
        attempt(pictures, out, resume=True, **options)
    attempt(pictures, out, resume=True)


def test_a_closed_form_method_writes_the_same_files(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = [
        "train",
        str(pictures),
        "--method",
        "atlas",
        "--preset",
        "tiny",
        "--out",
        str(out),
        "--jobs",
        "1",
    ]
    assert command([*words, "--quiet"]) == 0
    names = {path.name for path in out.iterdir()}
    assert {"detector.json", "weights.safetensors", "card.md", "history.csv", "checkpoints"} <= names
    assert {"training.json", "report.html"} <= names
    assert (out / "history.csv").read_text().split() == ["stage,step,minutes,loss,others"]
    assert "--steps" not in read_json(out / "detector.json")["record"]["command"]


def test_resume_of_a_finished_run_leaves_it_as_it_is(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    words = ["train", str(pictures), "--method", "dae", "--preset", "tiny", "--steps", "3", "--jobs", "1"]
    words += ["--out", str(out)]
    assert command(words) == 0
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.name != "unlesion.log"}
    capsys.readouterr()
    assert command([*words, "--resume"]) == 0
    said = capsys.readouterr().err
    assert "finished already" in said and "calibrate" not in said
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    # A page that did not come about is made.
    (out / "report.html").unlink()
    assert command([*words, "--resume"]) == 0
    assert (out / "report.html").exists()


def test_resume_refuses_a_run_that_calibrate_wrote(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    attempt(pictures, out)
    (out / "training.json").unlink()
    before = (out / "detector.json").read_bytes()
    with pytest.raises(BadInput, match="choose another --out"):
        attempt(pictures, out, resume=True)
    assert (out / "detector.json").read_bytes() == before
    assert not (out / "training.json").exists()
