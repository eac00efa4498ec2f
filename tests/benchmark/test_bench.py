"""The grid: rows, resuming, known rows, and failures that stay alone."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.cohorts import write_pictures
from unlesion.benchmark import KnownResults, read_spec
from unlesion.benchmark.leaderboard import flatten, markdown
from unlesion.cli.app import run
from unlesion.errors import BadInput

SPEC = """
methods: [intensity, {name: dae, preset: tiny}, {name: ae, label: broken, preset: tiny, set: [recipe.size=8]}]
steps: 30
seeds: [0]
reference: intensity
set: [recipe.size=32]
cohorts:
  - {name: blobs, path: "${BLOBS}", recipe: slices}
"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    (folder / "spec.yaml").write_text(SPEC)
    write_pictures(folder / "blobs", train=8, val=4, healthy=6, anomalous=6)
    return folder


def call(bench: Path, monkeypatch: pytest.MonkeyPatch, out: str, *words: str) -> int:
    monkeypatch.setenv("BLOBS", str(bench / "blobs"))
    return run(
        ["bench", str(bench / "spec.yaml"), "--out", str(bench / out), "--jobs", "1", "--quiet", *words]
    )


def rows_of(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "leaderboard.csv").open(newline="") as stream:
        return {row["method"]: row for row in csv.DictReader(stream)}


def test_a_grid_with_a_broken_row(
    bench: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = str(bench / "results")
    assert call(bench, monkeypatch, "first", "--results", results) == 2
    assert "1 of 3 rows failed" in capsys.readouterr().err
    rows = rows_of(bench / "first")
    assert rows["intensity"]["status"] == rows["dae"]["status"] == "done"
    assert rows["broken"]["status"] == "failed"
    assert rows["broken"]["problem"]
    assert rows["dae"]["steps"] == "30"
    found = json.loads((bench / "first" / "evaluations" / "blobs" / "dae-seed0" / "metrics.json").read_text())
    assert float(rows["dae"]["voxel_ap"]) == pytest.approx(found["voxel"]["ap"]["value"])
    difference = float(rows["dae"]["voxel_ap"]) - float(rows["intensity"]["voxel_ap"])
    assert float(rows["dae"]["versus_reference"]) == pytest.approx(difference)
    assert (bench / "first" / "report.html").exists()
    table = (bench / "first" / "leaderboard.md").read_text()
    assert "unlesion bench" in table
    assert "failed" in table

    # Again into the same folder only with --resume; what is known is not measured again.
    assert call(bench, monkeypatch, "first") == 2
    kept = {path: path.read_bytes() for path in (bench / "results").rglob("*.json")}
    assert len(kept) == 2
    assert call(bench, monkeypatch, "second", "--results", results) == 2
    assert not (bench / "second" / "runs" / "blobs" / "dae-seed0" / "detector.json").exists()
    assert rows_of(bench / "second")["dae"]["voxel_ap"] == rows["dae"]["voxel_ap"]
    assert {path: path.read_bytes() for path in (bench / "results").rglob("*.json")} == kept


def test_other_settings_are_other_rows(tmp_path: Path) -> None:
    known = KnownResults(tmp_path)
    identity = {"label": "dae", "cohort_label": "c", "seed": 0, "config": {"sigma": 0.2}, "method_version": 1}
    known.keep(identity, {"voxel_ap": 0.5})
    assert known.find(dict(reversed(identity.items()))) == {"voxel_ap": 0.5}
    assert known.find({**identity, "method_version": 2}) is None
    assert known.find({**identity, "config": {"sigma": 0.3}}) is None


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"minutes": 1}, "budget"),
        ({"steps": None}, "budget"),
        ({"methods": []}, "methods"),
        ({"methods": ["dae", "dae"]}, "label"),
        ({"reference": "vae"}, "reference"),
        ({"cohort": []}, "cohorts"),
    ],
)
def test_bad_specs(tmp_path: Path, change: dict[str, object], wanted: str) -> None:
    spec = {"methods": ["dae"], "steps": 3, "cohorts": [{"name": "a", "path": "a"}], **change}
    path = tmp_path / "spec.yaml"
    path.write_text(json.dumps(spec))
    with pytest.raises(BadInput, match=wanted):
        read_spec(path)


def test_undefined_metrics_leave_empty_cells() -> None:
    metrics = {
        "voxel": {"ap": {"value": 0.5, "ci": [0.4, 0.6]}},
        "image": {"auroc": {"value": None, "why": "one class"}},
    }
    flat = flatten(metrics)
    assert (flat["voxel_ap"], flat["voxel_ap_lo"], flat["voxel_ap_hi"]) == (0.5, 0.4, 0.6)
    assert flat["image_auroc"] is None
    row = {"cohort": "c", "method": "m", "preset": "cpu", "seed": 0, "status": "done", "sign": "both", **flat}
    text = markdown([row], command="x")
    assert "0.500 [0.400, 0.600]" in text
    assert "AUROC" not in text
