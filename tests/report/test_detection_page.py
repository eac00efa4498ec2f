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


def test_of_several_runs_no_number_of_subjects_is_said(tmp_path: Path) -> None:
    """The first run's was said of every row."""
    detect_output(tmp_path)
    rows = [
        {"key": "a", "score": "2", "p_value": "0.02", "flagged": "True", "alpha": "0.05", "threshold": "1"}
    ]
    run = {"calibration": {"native": {"n_subjects": 20}}, "method": {"name": "dae"}}
    page = write_detection_page(tmp_path / "one.html", rows=rows, run=run)
    assert "1/21" in check(page).text
    page = write_detection_page(tmp_path / "two.html", rows=rows, run=run, several_runs=("x", "y"))
    text = check(page).text
    assert "1/21" not in text and "with dae" not in text and "about 1 healthy subject in 50" in text


def test_scans_without_a_label_are_not_drawn_as_healthy(tmp_path: Path) -> None:
    def rows(*labels: str) -> list[dict[str, str]]:
        return [{"key": f"s{n}", "score": str(n), "label": label} for n, label in enumerate(labels)]

    page = write_detection_page(tmp_path / "new.html", rows=rows("anomalous", "anomalous", "", ""))
    assert "Scores by label" not in page.read_text()
    page = write_detection_page(tmp_path / "known.html", rows=rows("anomalous", "healthy"))
    assert "Scores by label" in page.read_text()


def test_the_most_unusual_pictures_are_on_the_page_and_no_others(tmp_path: Path) -> None:
    """A small picture of a less unusual scan came onto the page after a large one had found no place."""
    sizes = {"a": 3_000_000, "b": 4_000_000, "c": 1000}
    for key, size in sizes.items():
        (tmp_path / key).mkdir()
        (tmp_path / key / "preview.png").write_bytes(b"x" * size)
    rows = [{"key": key, "score": str(9 - n)} for n, key in enumerate(sizes)]
    page = write_detection_page(tmp_path / "report.html", rows=rows).read_text()
    assert page.count('class="preview"') == 1 and "The 1 most unusual" in page
    assert "move and mail the folder as a whole" in page and "self-contained" not in page


def test_what_the_sizes_are_above_is_said(tmp_path: Path) -> None:
    rows = [{"key": "a", "score": "1", "rate": "0.01"}, {"key": "b", "score": "2", "rate": "0.05"}]
    text = " ".join(check(write_detection_page(tmp_path / "report.html", rows=rows)).text.split())
    assert "at most 1 % or 5 % of healthy voxels exceed" in text.replace("\u00a0", " ")
