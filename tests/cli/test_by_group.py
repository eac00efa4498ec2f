"""`unlesion evaluate` on a virtual cohort tells pathologies apart."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from unlesion.phantom import write_cohort
from unlesion.phantom.design import Role, standard_role


@pytest.mark.slow
def test_results_by_pathology(unlesion: Command, tmp_path: Path) -> None:
    kinds = [role.pathology for role in map(standard_role, range(24)) if role.pathology][:2]
    roles = [
        Role("train"),
        Role("train"),
        Role("val"),
        Role("test"),
        *(Role("test", kind) for kind in kinds * 2),
    ]
    cohort = write_cohort(
        len(roles), tmp_path / "cohort", spacing_mm=4.0, design=lambda number: roles[number]
    )
    run, out = tmp_path / "run", tmp_path / "out"
    words = ["train", cohort, "--method", "intensity", "--preset", "tiny", "--out", run, "--jobs", 1]
    assert unlesion(*words).code == 0
    said = unlesion("evaluate", run, cohort, "--out", out, "--jobs", 1)
    assert said.code == 0, said.err
    metrics = json.loads((out / "metrics.json").read_text())
    assert list(metrics["by"]["pathology"]) == sorted(str(kind) for kind in kinds)
    for kind in kinds:
        found = metrics["by"]["pathology"][kind]
        assert (found["n"]["subjects"]["value"], found["n"]["scans"]["value"]) == (2, 2)
        assert 0 <= found["voxel"]["ap"]["value"] <= 1
        assert found["voxel"]["ap"]["ci"] is None and "5 subjects" in found["voxel"]["ap"]["ci_why"]
        assert found["image"]["auroc"]["examinations"] == {"anomalous": 2, "healthy": 1}
    with (out / "scans.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert all(row["size_band"].endswith("ml") for row in rows if row["label"] == "anomalous")
    page = (out / "report.html").read_text()
    assert "By pathology" in page and all(str(kind) in page for kind in kinds)
