"""Benchmarks of several modalities: rows are ranked and compared by image AUROC within modality."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from tests.benchmark.test_bench import bench_in, rows_of
from tests.cohorts import write_pictures
from unlesion.benchmark.leaderboard import markdown
from unlesion.files import read_json, write_json

SPEC = """
methods: [intensity, {name: atlas, preset: tiny}]
steps: 30
reference: intensity
set: [recipe.size=32]
cohorts:
  - {name: both, path: both, recipe: slices}
"""
WITHIN = "image AUROC within modality"


def row(method: str, **values: float | None) -> dict[str, object]:
    return {"cohort": "c", "method": method, "preset": "cpu", "seed": 0, "status": "done", **values}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures in T1 and T2 of the same persons, without masks."""
    folder = tmp_path_factory.mktemp("several")
    manifest = write_pictures(
        folder / "both", train=6, val=3, healthy=6, anomalous=6, modalities=("T1", "T2")
    )
    with manifest.open(newline="") as stream:
        rows = [{**found, "mask_path": ""} for found in csv.DictReader(stream)]
    with manifest.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    assert bench_in(folder, SPEC, "out", "--results", str(folder / "results")) == 0
    return folder


def test_rows_are_compared_within_modalities(measured: Path) -> None:
    rows = rows_of(measured / "out")
    assert list(rows["atlas"]).index("image_auroc_within") > list(rows["atlas"]).index("image_auroc")
    metrics = read_json(measured / "out" / "evaluations" / "both" / "atlas-seed0" / "metrics.json")
    found = metrics["image"]["auroc_within_modality"]
    assert float(rows["atlas"]["image_auroc_within"]) == pytest.approx(found["value"])
    assert rows["atlas"]["versus_metric"] == WITHIN
    difference = float(rows["atlas"]["image_auroc_within"]) - float(rows["intensity"]["image_auroc_within"])
    assert float(rows["atlas"]["versus_reference"]) == pytest.approx(difference)
    table = (measured / "out" / "leaderboard.md").read_text()
    assert f"| {WITHIN} |" in table and f"{WITHIN} minus intensity (paired)" in table
    assert "| image AUROC |" not in table
    page = (measured / "out" / "report.html").read_text()
    assert f"Sorted by {WITHIN}" in page


def test_kept_rows_of_before(measured: Path) -> None:
    """The columns are read from their metrics; scores of each modality were not kept, so nothing is paired."""
    before = rows_of(measured / "out")["atlas"]
    kept = next((measured / "results" / "both").glob("atlas-*.json"))
    write_json(kept, {k: v for k, v in read_json(kept).items() if not k.startswith("image_auroc_within")})
    histograms = kept.with_suffix("") / "histograms.npz"
    with np.load(histograms) as arrays:
        old = {name: array for name, array in arrays.items() if not name.endswith(".modalities")}
    np.savez(histograms, **old)
    assert bench_in(measured, SPEC, "again", "--results", str(measured / "results")) == 0
    assert not (measured / "again" / "runs").exists()
    found = rows_of(measured / "again")["atlas"]
    assert found["image_auroc_within"] == before["image_auroc_within"] != ""
    assert "before scores were kept by modality" in found["versus_note"]
    assert found["versus_metric"] == found["versus_reference"] == ""


def test_the_table_ranks_within_modalities_and_keeps_older_rows() -> None:
    new = [
        row("a", image_auroc=0.9, image_auroc_within=0.6),
        row("b", image_auroc=0.7, image_auroc_within=0.8),
    ]
    text = markdown(new, command="x")
    assert WITHIN in text and "| image AUROC |" not in text
    assert text.index("| b |") < text.index("| a |")
    old = row("old", image_auroc=0.95)
    text = markdown([old, *new], command="x")
    assert f"| {WITHIN} | image AUROC |" in text
    assert text.index("| b |") < text.index("| a |") < text.index("| old |")
    assert "| – | 0.950 |" in text
    # Undefined, as where one modality holds all that is anomalous: the other is what there is.
    text = markdown([row("c", image_auroc=0.7, image_auroc_within=None)], command="x")
    assert "| image AUROC |" in text and WITHIN not in text
