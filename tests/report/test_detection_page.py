"""The page of a folder that several detections wrote into, and of very many scans."""

from __future__ import annotations

import json
from pathlib import Path

from tests.report.test_pages import check, detect_output, write_csv
from unlesion.report import build_report
from unlesion.report.bench_page import write_bench_page
from unlesion.report.detection_page import write_detection_page


def test_rows_of_other_alphas_are_not_said_to_be_of_one(tmp_path: Path) -> None:
    rows = [
        {"key": "a", "score": "2", "p_value": "0.04", "flagged": "True", "alpha": "0.05", "threshold": "1"},
        {"key": "b", "score": "1", "p_value": "0.1", "flagged": "True", "alpha": "0.2", "threshold": "1"},
    ]
    text = " ".join(check(write_detection_page(tmp_path / "report.html", rows=rows)).text.split())
    assert "2 of 2 scans flagged at 0.05 and 0.2" in text
    assert "at most 0.25 would be" in text


def test_results_of_several_runs_are_named(tmp_path: Path) -> None:
    rows = detect_output(tmp_path)
    assert "Found by several runs" not in check(build_report(tmp_path)).text
    for number, row in enumerate(row for row in rows if not row.get("problem")):
        place = tmp_path / str(row["key"]) / "detection.json"
        place.write_text(json.dumps({**json.loads(place.read_text()), "run": f"run-{number % 2}"}))
    text = check(build_report(tmp_path)).text
    assert "Found by several runs" in text and "run-0, run-1" in text


def test_very_many_scans_that_could_not_be_used_make_a_page(tmp_path: Path) -> None:
    """It became too large, and the detection ended as a failure of ours."""
    words = "scan.nii.gz: not readable as NIfTI (the file is truncated); restore it. " * 12
    write_csv(tmp_path / "scores.csv", [{"key": f"s{n}", "problem": words} for n in range(12_000)])
    text = check(build_report(tmp_path)).text
    assert "and 11700 more; see scores.csv" in " ".join(text.split())


def test_a_leaderboard_says_what_the_difference_is_of_and_why_one_is_missing(tmp_path: Path) -> None:
    row = {"cohort": "a", "seed": "0", "status": "done", "sign": "both", "image_auroc": "0.7"}
    rows = [
        {**row, "method": "dae", "versus_metric": "image AUROC", "versus_reference": "0.1"},
        {**row, "method": "vae", "versus_note": "no paired interval: histograms were not kept"},
    ]
    text = " ".join(check(write_bench_page(tmp_path / "bench.html", rows=rows)).text.split())
    assert "image AUROC minus reference (paired)" in text
    assert "vae: no paired interval: histograms were not kept" in text
