"""Public datasets on the command line: learnt from one, tested on another."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Command
from tests.public_trees import TREES, head, plant, save
from unlesion.benchmark import read_spec
from unlesion.benchmark.plan import Cell, make_plan
from unlesion.errors import BadInput


@pytest.fixture(scope="module")
def ixi(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve healthy people, in a folder with a space in its name."""
    root = tmp_path_factory.mktemp("public") / "IXI data"
    for number in range(1, 13):
        save(root / f"IXI-T2/IXI{number:03d}-Guys-{number:04d}-T2.nii.gz", head(number))
        save(root / f"IXI-T1/IXI{number:03d}-Guys-{number:04d}-T1.nii.gz", head(50 + number))
    return root


@pytest.fixture(scope="module")
def brats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plant(tmp_path_factory.mktemp("brats"), TREES["brats2021"])


@pytest.mark.slow
def test_learnt_from_one_tested_on_another(unlesion: Command, ixi: Path, brats: Path, tmp_path: Path) -> None:
    run, evaluation = tmp_path / "run", tmp_path / "evaluation"
    words = ["--where", "modality=T2", "--method", "dae", "--preset", "tiny", "--steps", 5, "--jobs", 1]
    said = unlesion("train", "ixi", "--root", ixi, *words, "--out", run)
    assert said.code == 0, said.err
    assert "read as IXI: 24 images of 12 subjects" in said.err
    record = json.loads((run / "detector.json").read_text())["record"]
    assert record["cohort_name"] == "ixi (modality=T2)"
    assert record["command"].startswith(f"unlesion train ixi --root '{ixi}' --where modality=T2 ")
    page = (run / "report.html").read_text()
    assert "unlesion train ixi --root" in page
    test = ["--root", brats, "--where", "modality=T2", "--jobs", 1]
    said = unlesion("evaluate", run, "brats2021", *test, "--out", evaluation)
    assert said.code == 0, said.err
    rows = list(csv.DictReader((evaluation / "scans.csv").open()))
    assert [row["subject"] for row in rows] == ["BraTS2021_00000", "BraTS2021_00002"]
    assert "evaluate RUN brats2021 --split all --root" in (evaluation / "report.html").read_text()
    said = unlesion(
        "calibrate", run, "ixi", "--root", ixi, *words[:2], "--jobs", 1, "--out", tmp_path / "own"
    )
    assert said.code == 0, said.err
    page = (tmp_path / "own/report.html").read_text()
    assert "unlesion train ixi --root" in page and "unlesion calibrate TRAINED ixi --root" in page
    said = unlesion("detect", run, "brats2021", *test, "--out", tmp_path / "maps")
    assert said.code == 0, said.err
    assert (tmp_path / "maps/data/BraTS2021_00000/BraTS2021_00000_t2/anomaly.nii.gz").is_file()


def test_prepare_and_doctor(unlesion: Command, ixi: Path, tmp_path: Path) -> None:
    words = ("doctor", "ixi", "--root", ixi, "--where", "modality=T1", "--jobs", 1)
    # The table breaks lines, elsewhere for each length of the folder's name.
    assert any("read as IXI" in finding["what"] for finding in json.loads(unlesion(*words, "--json").out))
    said = unlesion(*words)
    assert f"ixi in {ixi}" in " ".join(said.out.split())
    store = tmp_path / "store"
    said = unlesion(
        "prepare", "ixi", "--root", ixi, "--where", "modality=T1", "--set", "recipe.size=32", "--jobs", 1, "--out", store
    )  # fmt: skip
    assert said.code == 0, said.err
    assert (store / "index.json").is_file()


@pytest.mark.parametrize(
    "words",
    [
        ["prepare", "ixi", "--out", "OUT"],
        ["train", "ixi", "--method", "dae", "--out", "OUT"],
        ["doctor", "ixi"],
        ["phantom", "--on", "ixi", "--out", "OUT"],
    ],
)
def test_a_name_alone_asks_for_the_root(
    unlesion: Command, tmp_path: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = unlesion(*words)
    assert said.code == 2
    assert "ixi: a public dataset; say in which folder it lies with --root FOLDER" in said.complaint


def test_an_unknown_name_is_told_the_known_ones(unlesion: Command, tmp_path: Path) -> None:
    said = unlesion("doctor", "ixy", "--root", tmp_path)
    assert said.code == 2
    assert "ixy" in said.complaint and "atlas2, brats2020" in said.complaint
    said = unlesion("phantom", "--root", tmp_path, "--out", tmp_path / "out")
    assert "--on COHORT" in said.complaint


def test_a_benchmark_on_public_datasets(ixi: Path, brats: Path, tmp_path: Path) -> None:
    cohort = {
        "name": "to-gliomas",
        "path": "ixi",
        "root": str(ixi),
        "where": ["modality=T2"],
        "test_path": "brats2021",
        "test_root": str(brats),
        "test_where": ["modality=T2"],
        "test_split": "all",
    }
    path = tmp_path / "bench.yaml"
    path.write_text(yaml.safe_dump({"methods": ["dae"], "cohorts": [cohort], "steps": 5}))
    spec = read_spec(path)
    plan = make_plan(spec, Cell(method=spec.methods[0], cohort=spec.cohorts[0], seed=0), folder=tmp_path)
    assert plan.learn.name == "ixi (modality=T2)" and len(plan.learn) == 12
    assert [entry.subject for entry in plan.test] == ["BraTS2021_00000", "BraTS2021_00002"]
    for wrong, words in (
        ({"root": None}, "ixi: a public dataset"),
        ({"test_root": None}, "brats2021: a public dataset"),
        ({"test_path": None}, "test_root without test_path"),
    ):
        faulty = Cell(method=spec.methods[0], cohort=spec.cohorts[0].model_copy(update=wrong), seed=0)
        with pytest.raises(BadInput, match=words):
            make_plan(spec, faulty, folder=tmp_path)
    other = spec.cohorts[0].model_copy(update={"root": str(brats)})
    assert not other.learns_like(spec.cohorts[0])
