"""The demo, from nothing to a report."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from unlesion.files import read_json


@pytest.mark.slow
def test_a_small_demo_is_whole(unlesion: Command, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    words = ["demo", "--n", 12, "--preset", "tiny", "--minutes", 0.05, "--jobs", 1, "--device", "cpu"]
    words += ["--set", "method.sigma=0.3", "scoring.sign=bright"]
    said = unlesion(*words, "--out", out)
    assert said.code == 0, said.err
    page = (out / "report.html").read_text(encoding="utf-8")
    assert len(page.encode()) < 10_000_000
    assert "not a medical device" in page
    metrics = read_json(out / "metrics.json")
    assert metrics["twin"]["gain"]["value"] is not None
    run = {path.name for path in (out / "run").iterdir()}
    wanted = {
        "detector.json",
        "weights.safetensors",
        "card.md",
        "history.csv",
        "checkpoints",
        "training.json",
    }
    assert wanted | {"report.html"} <= run
    assert ".store" not in run
    detector = read_json(out / "run" / "detector.json")
    assert detector["method"]["config"]["sigma"] == 0.3
    assert detector["scoring"]["native"]["sign"] == "bright"
    assert detector["scoring"]["native"]["standardise"]
    command = detector["record"]["command"]
    assert str(out / "cohort") in command
    # Every healthy and ill kind once, as `detect` leaves it.
    found = sorted(path.parent for path in (out / "found").rglob("detection.json"))
    rows = list(csv.DictReader((out / "found" / "scores.csv").open()))
    assert len(found) == len(rows) >= 2 and {row["label"] for row in rows} == {"healthy", "anomalous"}
    assert all((path / "preview.png").is_file() and list(path.glob("anomaly*")) for path in found)
    assert (out / "found" / "report.html").is_file()
    assert "measuring on all" in (out / "unlesion.log").read_text()
    again = unlesion(*words, "--out", out)
    assert again.code == 2
    assert "holds a demo already" in again.complaint


def test_a_device_that_is_not_there_is_refused_at_once(unlesion: Command, tmp_path: Path) -> None:
    said = unlesion("demo", "--device", "abacus", "--out", tmp_path / "demo")
    assert said.code == 2
    assert "--device abacus" in said.complaint
    assert not (tmp_path / "demo" / "cohort").exists()
