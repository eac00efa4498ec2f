from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Command, unlesion
from tests.doctor.conftest import Planted, draw

__all__ = ["unlesion"]

FIELDS = {"code", "level", "count", "of", "where", "what", "detail", "mend", "value", "interval", "n"}


def test_the_table_groups_and_sorts(unlesion: Command, cohort: Planted) -> None:
    for number in range(6):
        cohort.save(f"s0{number}.png", draw(9)[0] * 0 + 7)
    said = unlesion("doctor", cohort.write(), "--jobs", 1)
    assert said.code == 2
    assert said.out.count("6 of 39 scans: every voxel has the same value") == 1
    assert said.out.index("error") < said.out.index("note")
    assert "39 scans looked at; 1 error" in said.out
    assert "left" in said.err


def test_json_is_for_programs(unlesion: Command, cohort: Planted, tmp_path: Path) -> None:
    cohort.save("s00.png", draw(1)[0])
    out = tmp_path / "out"
    said = unlesion("doctor", cohort.write(), "--json", "--quiet", "--jobs", 1, "--out", out)
    # A copy within a split is a warning: it can be used.
    assert said.code == 0
    assert said.err == ""
    findings = json.loads(said.out)
    assert all(set(finding) == FIELDS for finding in findings)
    assert findings[0]["code"] == "duplicates.within-split"
    assert findings[0]["where"] == ["s00", "s01"]
    written = json.loads((out / "doctor.json").read_text(encoding="utf-8"))
    assert written["findings"] == findings
    assert "not a medical device" in written["notice"]
    assert {"comparison", "predictor", "auroc", "interval", "images", "subjects", "telling"} == set(
        written["confounds"][0]
    )
    assert (out / "unlesion.log").is_file()


def test_the_trivial_predictors_have_a_table(unlesion: Command, cohort: Planted) -> None:
    for row in cohort.of("test", "anomalous"):
        row["mask_path"] = ""
        cohort.save(row["path"], draw(int(row["subject"][1:]))[0][:-3])
    said = unlesion("doctor", cohort.write(), "--jobs", 1)
    assert said.code == 0
    assert "What trivial predictors tell" in said.out
    line = next(line for line in said.out.splitlines() if "not square" in line and "1.00 !" in line)
    assert "12" in line
    assert "(below)" in said.out
    assert said.out.count("compare with a detector") == 1


def test_where_and_a_scan(unlesion: Command, cohort: Planted) -> None:
    manifest = cohort.write()
    said = unlesion("doctor", manifest, "--where", "split=val", "--json", "--jobs", 1)
    assert {finding["of"] for finding in json.loads(said.out) if finding["code"] == "sides.unknown"} == {19}
    said = unlesion("doctor", manifest.parent / "s00.png")
    assert said.code == 0
    assert "48 x 48 pixels" in said.out
    assert unlesion("doctor", manifest.parent / "nothing.png").complaint.endswith("check the path")


@pytest.mark.slow
def test_processes_find_the_same(unlesion: Command, cohort: Planted) -> None:
    cohort.save("s00.png", draw(1)[0])
    manifest = cohort.write()
    one = unlesion("doctor", manifest, "--json", "--quiet", "--jobs", 1)
    assert unlesion("doctor", manifest, "--json", "--quiet", "--jobs", 2).out == one.out
