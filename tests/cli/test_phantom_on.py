"""`unlesion phantom --on`: implants, from the command line to the cohort they make."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Command
from unlesion.phantom import make_subject
from unlesion.scans import Cohort


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of slices of two virtual people."""
    folder = tmp_path_factory.mktemp("slices")
    rows = []
    for number, split in enumerate(("train", "test")):
        person = make_subject(number, modality="T1", spacing_mm=2.0)
        volume = person.image / person.image.max() * 240
        for level in (38, 42, 46, 50):
            # Stored x, y, z: a picture has the front above and the right of the head at its left.
            pixels = volume[:, :, level].T[::-1, ::-1]
            name = f"p{number}_{level}.png"
            Image.fromarray(np.rint(pixels).astype(np.uint8)).save(folder / name)
            rows.append(
                {
                    "path": name,
                    "subject": f"p{number}",
                    "scan": f"p{number}",
                    "position": level / 80,
                    "modality": "T1",
                    "label": "healthy",
                    "split": split,
                    "spacing_mm": 2,
                }
            )
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


@pytest.mark.slow
def test_from_scans_to_a_cohort(unlesion: Command, slices: Path, tmp_path: Path) -> None:
    out = tmp_path / "implants"
    words = ["phantom", "--on", slices, "--out", out, "--per-scan", 2, "--sizes", "1-20", "--jobs", 1]
    said = unlesion(*words, "--pathologies", "glioma,multiple sclerosis")
    assert said.code == 0, said.err
    assert "8 healthy scans, 2 with an implanted lesion" in said.err
    assert "phantom --on" in (out / "unlesion.log").read_text(encoding="utf-8")
    sick = Cohort.open(out).select(label="anomalous")
    assert {entry.pathology for entry in sick} == {"glioma", "multiple sclerosis"}
    for entry in sick:
        scan = entry.read()
        assert scan.twin is not None and scan.lesions is not None and scan.lesions.any()
        assert entry.split == "test" and entry.subject == "p1"
        assert 0.5 < float(entry.columns["size_ml"]) < 30
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    assert unlesion(*words, "--pathologies", "glioma,multiple sclerosis").code == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.png")} == times


def test_nothing_to_implant_into(unlesion: Command, slices: Path, tmp_path: Path) -> None:
    said = unlesion("phantom", "--on", slices, "--where", "split=train", "--out", tmp_path / "out")
    assert said.code == 2
    assert "no healthy test scans" in said.complaint and "split" in said.complaint


def test_options_that_do_not_go_together(unlesion: Command, slices: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for words in (
        ("--on", slices, "--n", 3),
        ("--on", slices, "--grid"),
        ("--on", slices, "--scanners", "3T"),
        ("--n", 2, "--scanners", "3T"),
        ("--n", 2, "--grid", "--scanners", "7T"),
        ("--on", slices, "--modality", "T1"),
        ("--where", "split=test"),
        ("--per-scan", 2),
        ("--on", slices, "--sizes", "100-200"),
        ("--on", slices, "--pathologies", "measles"),
        ("--n", 2, "--pathologies", "measles"),
    ):
        said = unlesion("phantom", *words, "--out", out)
        assert said.code == 2, words
        assert said.complaint
    assert not list(out.rglob("*.png"))


def test_a_bad_scan_is_named_and_the_rest_made(unlesion: Command, slices: Path, tmp_path: Path) -> None:
    import shutil

    copied = tmp_path / "copied"
    shutil.copytree(slices, copied)
    for path in copied.glob("p1_*.png"):
        path.write_bytes(b"not a picture")
    said = unlesion("phantom", "--on", copied, "--out", tmp_path / "out", "--jobs", 1)
    assert said.code == 2
    assert "p1_" in said.err and "could not be made" in said.complaint
    assert len(Cohort.open(tmp_path / "out").select(split="train")) == 4
