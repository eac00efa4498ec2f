"""What preparing noticed on scans is said by every verb that prepares some, and stays with what came of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Command
from tests.cohorts import write_pictures
from unlesion.files import read_json
from unlesion.prepare import Recipe
from unlesion.scans import Cohort, Entry

WORDS = "no brain or head found in the image: the whole picture is used"


@pytest.fixture(scope="module")
def hollow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort of which every split has two pictures without a head: a few bright pixels."""
    manifest = write_pictures(tmp_path_factory.mktemp("hollow"))
    speck = np.zeros((48, 48), np.uint8)
    speck[20, 20:23] = 200
    for split in ("train", "val", "test"):
        for entry in Cohort.open(manifest).select(split=split, label="healthy").entries[:2]:
            Image.fromarray(speck).save(entry.paths[0])
    return manifest


def test_every_verb_says_what_was_noticed(unlesion: Command, hollow: Path, tmp_path: Path) -> None:
    store = unlesion("prepare", hollow, "--recipe", "slices", "--out", tmp_path / "store", "--jobs", 1)
    assert f"6 of 18 scans: {WORDS}" in store.err
    log = (tmp_path / "store" / "unlesion.log").read_text()
    assert log.count(f": {WORDS}\n") == 6

    run = tmp_path / "run"
    trained = unlesion("train", hollow, "--method", "atlas", "--preset", "tiny", "--out", run, "--jobs", 1)
    for what in (f"learnt from: 2 of 8 scans: {WORDS}", f"calibrated on: 2 of 4 scans: {WORDS}"):
        assert what in trained.err and what in (run / "report.html").read_text()

    again = tmp_path / "again"
    calibrated = unlesion("calibrate", run, hollow, "--where", "split=val", "--out", again, "--jobs", 1)
    assert f"2 of 4 scans: {WORDS}" in calibrated.err
    page = (again / "report.html").read_text()
    assert "calibrated on: 2" not in page and f"2 of 4 scans: {WORDS}" in page

    # Runs are handed on: who was odd, they do not say.
    keys = [entry.key for entry in Cohort.open(hollow)]
    for folder in (run, again):
        words = str(read_json(folder / "detector.json")["record"])
        assert WORDS in words and not any(f"({key}" in words or f"so {key}" in words for key in keys)
    out = tmp_path / "evaluation"
    measured = unlesion("evaluate", run, hollow, "--out", out, "--jobs", 1)
    assert f"2 of 6 scans: {WORDS}" in measured.err
    assert any(WORDS in words for words in read_json(out / "metrics.json")["warnings"])


def test_a_failure_of_ours_is_no_bad_input(
    unlesion: Command, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one scan it costs that scan; it is named, its traceback is in the log, and the exit code is 1."""
    real, key = Recipe.prepare, Cohort.open(pictures).select(split="train", label="healthy")[0].key

    def fragile(self: Recipe, scan):
        if scan.key == key:
            raise ZeroDivisionError("oops")
        return real(self, scan)

    monkeypatch.setattr(Recipe, "prepare", fragile)
    line = f"{key}: a failure of ours: ZeroDivisionError: oops"
    for out, words in {
        "store": ("prepare", pictures),
        "run": ("train", pictures, "--method", "atlas", "--preset", "tiny"),
    }.items():
        said = unlesion(*words, "--out", tmp_path / out, "--jobs", 1)
        assert said.code == 1 and line in said.err and "please report it" in said.complaint
        assert "in fragile" in (tmp_path / out / "unlesion.log").read_text()
    assert (tmp_path / "run" / "report.html").exists()


def test_where_every_scan_fails_by_a_fault_of_ours_the_log_has_it(
    unlesion: Command, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Recipe, scan):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(Recipe, "prepare", broken)
    said = unlesion("prepare", pictures, "--out", tmp_path / "store", "--jobs", 1)
    assert said.code == 1 and "ZeroDivisionError: oops; please report it" in said.complaint
    assert "in broken" in (tmp_path / "store" / "unlesion.log").read_text()


def test_maps_that_trip_over_a_fault_of_ours(
    unlesion: Command, pictures: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps = tmp_path / "maps"
    assert (
        unlesion("detect", trained, pictures, "--where", "split=test", "--out", maps, "--jobs", 1).code == 0
    )
    real, key = Entry.read, Cohort.open(pictures).select(split="test")[0].key

    def fragile(self: Entry):
        if self.key == key:
            raise ZeroDivisionError("oops")
        return real(self)

    monkeypatch.setattr(Entry, "read", fragile)
    said = unlesion("evaluate", maps, pictures, "--out", tmp_path / "out", "--jobs", 1)
    assert said.code == 1 and f"{key}: a failure of ours" in said.err
    assert "in fragile" in (tmp_path / "out" / "unlesion.log").read_text()
    assert (tmp_path / "out" / "report.html").exists()
