"""`unlesion phantom`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Command
from unlesion.scans import Cohort


@pytest.mark.slow
def test_a_virtual_cohort(unlesion: Command, tmp_path: Path) -> None:
    out = tmp_path / "phantom"
    said = unlesion("phantom", "--n", 3, "--out", out, "--jobs", 1)
    assert said.code == 0, said.err
    assert "3 virtual subjects" in said.err
    cohort = Cohort.open(out / "manifest.csv")
    assert [entry.split for entry in cohort] == ["train", "val", "test"]
    sick = cohort.select(label="anomalous").entries[0].read()
    assert sick.lesions is not None and sick.lesions.any()
    assert sick.twin is not None and sick.roi is not None
    # A second call finds everything there.
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.nii.gz")}
    assert unlesion("phantom", "--n", 3, "--out", out, "--jobs", 1).code == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.nii.gz")} == before


@pytest.mark.slow
def test_one_scanner_of_the_grid(unlesion: Command, tmp_path: Path) -> None:
    out = tmp_path / "grid"
    words = ("--n", 1, "--grid", "--scanners", "3T", "--modality", "T1,PD", "--jobs", 1, "--out", out)
    said = unlesion("phantom", *words)
    assert said.code == 0, said.err
    assert "1 virtual subject, each on 1 scanner" in said.err
    assert {entry.columns["site"] for entry in Cohort.open(out)} == {"3T"}
    assert {entry.modality for entry in Cohort.open(out)} == {("T1",), ("PD",)}
