from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.report import scenes
from unlesion.errors import BadInput
from unlesion.report import build_report
from unlesion.report.bench_page import write_bench_page
from unlesion.report.detection_page import write_detection_page
from unlesion.report.evaluation_page import write_evaluation_page
from unlesion.report.page import MOST_BYTES, Budget, breakable, group_of
from unlesion.report.run_page import write_run_page

VOID = {"meta", "link", "br", "hr", "img", "input", "wbr", "col"}
EVIL = '<script>alert("x")</script><img src=x onerror=y>'


class Checker(HTMLParser):
    """Every element is closed in order, and nothing is fetched from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.text = ""
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        given = dict(attrs)
        for name in ("src", "href", "srcset", "data", "action"):
            address = given.get(name)
            if address is not None:
                assert not re.match(r"\s*(https?:)?//", address), address[:80]
                assert address.startswith(("data:image/", "#")) or "preview.png" in address, address[:80]
        if tag == "img":
            assert given.get("alt")
        assert not any(name.startswith("on") for name in given)
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def check(page: Path) -> Checker:
    content = page.read_text(encoding="utf-8")
    assert content.startswith("<!doctype html>")
    assert len(content.encode()) < MOST_BYTES
    assert "@import" not in content
    assert "url(" not in content
    assert "research use" in content
    checker = Checker()
    checker.feed(content)
    checker.close()
    assert checker.open == []
    assert "script" not in checker.seen
    assert len(checker.ids) == len(set(checker.ids))
    return checker


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(dict.fromkeys(k for row in rows for k in row)))
        writer.writeheader()
        writer.writerows(rows)


def test_an_evaluation(tmp_path: Path) -> None:
    page = write_evaluation_page(
        tmp_path / "report.html",
        metrics=scenes.metrics(),
        rows=scenes.scan_rows(),
        curves=scenes.curves(),
        gallery=scenes.gallery(),
        run=scenes.run(),
    )
    checker = check(page)
    for words in (
        "0.541 [0.480, 0.603]",
        "oracle",
        "Missed most",
        "Most false alarms",
        "Typical healthy scans",
        "shared",
        "--steps denoise=100",
        "Not defined here: no scan with lesions",
        "threshold 0.400",
        "R and L are the patient's right and left",
    ):
        assert words in re.sub(r"\s+", " ", checker.text), words


@pytest.mark.parametrize("metrics", [{}, {"voxel": {}}, {"shared": None, "scoring": None, "record": None}])
def test_an_evaluation_of_which_little_is_known(tmp_path: Path, metrics: dict[str, Any]) -> None:
    check(write_evaluation_page(tmp_path / "report.html", metrics=metrics))


def test_narrow_screens_hold_the_tables_and_can_scroll_the_pictures(tmp_path: Path) -> None:
    detect_output(tmp_path)
    detection = build_report(tmp_path).read_text(encoding="utf-8")
    evaluation = write_evaluation_page(tmp_path / "e.html", metrics=scenes.metrics()).read_text("utf-8")
    for page, table in ((detection, "found"), (evaluation, "metrics")):
        assert f'<table class="{table}">' in page
        assert f".{table} tr {{ display: grid;" in page.split("@media screen and (max-width: 560px)")[1]
    assert ".preview { max-width: none;" in detection


def test_an_evaluation_without_masks_claims_nothing_about_lesions(tmp_path: Path) -> None:
    metrics = scenes.metrics()
    metrics["n"]["lesions"] = scenes.metric(0)
    cases = tuple(replace(case, truth=None) for case in scenes.gallery().cases)
    gallery = scenes.Gallery(cases=cases, threshold=0.4)
    page = write_evaluation_page(tmp_path / "report.html", metrics=metrics, gallery=gallery)
    text = check(page).text
    assert "lesions not annotated" in text
    assert "0 lesions" not in text
    assert "Highest scores of scans with lesions" in text
    assert "Found best" not in text
    assert "Missed most" not in text


def test_an_uncalibrated_evaluation_has_no_threshold_in_its_legend(tmp_path: Path) -> None:
    gallery = replace(scenes.gallery(), calibrated=False)
    page = write_evaluation_page(tmp_path / "report.html", metrics=scenes.metrics(), gallery=gallery)
    text = check(page).text
    assert "threshold 0.400" not in text
    assert "above the threshold\n" not in text
    assert "which is no threshold" in text


def test_pictures_of_extremes_alone_have_one_legend(tmp_path: Path) -> None:
    gallery = scenes.Gallery(cases=(scenes.case("a", "miss"),), threshold=0.4)
    page = write_evaluation_page(tmp_path / "report.html", metrics=scenes.metrics(), gallery=gallery)
    text = check(page).text
    assert "What it looks like" not in text
    assert text.count("Left to right") == text.count("Letters on a scan") == 1


def test_one_is_one(tmp_path: Path) -> None:
    metrics = scenes.metrics()
    metrics["n"] = {name: scenes.metric(1) for name in ("subjects", "scans", "healthy", "lesions")}
    page = write_evaluation_page(tmp_path / "report.html", metrics=metrics, rows=scenes.scan_rows()[:1])
    text = check(page).text
    assert "1 subject · 1 scan · 1 healthy · 1 lesion ·" in text
    assert "1 scan, most unusual first" in text
    assert not re.search(r"\b1 (subjects|scans|lesions)\b", text)


def test_sides_that_nobody_knows_are_not_written(tmp_path: Path) -> None:
    cases = tuple(replace(case, sides=None) for case in scenes.gallery().cases)
    gallery = scenes.Gallery(cases=cases, threshold=0.4)
    page = write_evaluation_page(tmp_path / "report.html", metrics=scenes.metrics(), gallery=gallery)
    assert "Letters on a scan" not in check(page).text


def test_names_are_escaped(tmp_path: Path) -> None:
    metrics = scenes.metrics()
    metrics["cohort"]["name"] = EVIL
    metrics["record"]["repeat"] = EVIL
    metrics["warnings"] = [EVIL]
    metrics["lesion"]["f1"]["why"] = EVIL
    rows = [{**row, "key": EVIL, "pathology": EVIL} for row in scenes.scan_rows()]
    found = scenes.Gallery(cases=(scenes.case(EVIL, "miss"),), threshold=1.0)
    checker = check(
        write_evaluation_page(tmp_path / "a.html", metrics=metrics, rows=rows, gallery=found, commands=[EVIL])
    )
    assert EVIL in checker.text
    run = scenes.run()
    run["method"]["citation"] = run["record"]["cohort_name"] = EVIL
    check(write_run_page(tmp_path / "b.html", run=run, name=EVIL))
    check(write_detection_page(tmp_path / "c.html", rows=rows, run_name=EVIL))
    check(write_detection_page(tmp_path / "d.html", rows=[{"key": EVIL, "problem": EVIL}]))
    bench = [{"cohort": EVIL, "method": EVIL, "status": "failed", "problem": EVIL}]
    check(write_bench_page(tmp_path / "e.html", rows=bench, commands=[EVIL]))
    assert str(breakable("<b>/_")) == "&lt;b&gt;/<wbr>_<wbr>"


def test_a_page_stays_small_whatever_the_gallery(tmp_path: Path) -> None:
    page = write_evaluation_page(
        tmp_path / "report.html", metrics=scenes.metrics(), gallery=scenes.gallery(each=16, side=200)
    )
    assert "more in the folder" in check(page).text
    group = group_of("a", "b", [scenes.case()] * 3, Budget(left=0))
    assert group is not None
    assert group.left_out == 3
    assert group_of("a", "b", [], Budget()) is None


def test_a_run(tmp_path: Path) -> None:
    history = [{"stage": "denoise", "step": str(n), "loss": str(1 / (n + 1))} for n in range(20)]
    page = write_run_page(
        tmp_path / "report.html", run=scenes.run(), history=history, gallery=scenes.gallery(), name="my-run"
    )
    text = re.sub(r"\s+", " ", check(page).text)
    assert "Run “my-run”: dae" in text
    assert "14 healthy subjects" in text
    assert "1/4" in text
    assert "3 healthy subjects to calibrate on" in text
    assert "unlesion train COHORT --method dae --preset cpu --seed 0 --steps denoise=100" in text
    check(write_run_page(tmp_path / "bare.html", run={}))
    warned = scenes.run()
    warned["record"] |= {"warnings": ["split; by a hash"], "left_out": 1}
    text = check(write_run_page(tmp_path / "warned.html", run=warned)).text
    assert "split; by a hash" in text
    assert "1 scan could not be used" in text
    check(write_run_page(tmp_path / "none.html", run={**scenes.run(), "calibration": {}, "profile": None}))


def detect_output(folder: Path, count: int = 3, side: int = 20) -> list[dict[str, str]]:
    rows = []
    for n in range(count):
        key = f"a/scan {n}"
        (folder / key).mkdir(parents=True)
        noise = np.random.default_rng(n).integers(0, 255, (side, side, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / key / "preview.png")
        (folder / key / "detection.json").write_text(
            json.dumps(
                {
                    "run": str(folder / "run"),
                    "recipe": "abc",
                    "warnings": ["another spacing; ask at the site", "another contrast"] if n == 0 else [],
                }
            )
        )
        rows.append(
            {
                "key": key,
                "score": str(float(n)),
                "p_value": str(1 / (n + 1)),
                "flagged": str(n == count - 1),
                "alpha": "0.05",
                "threshold": "0.4",
                "warnings": "another spacing; ask at the site; another contrast" if n == 0 else "",
            }
        )
    rows.append({"key": "bad", "problem": "bad.nii.gz: truncated; restore it"})
    write_csv(folder / "scores.csv", rows)
    return rows


def test_a_detection(tmp_path: Path) -> None:
    detect_output(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "detector.json").write_text(json.dumps(scenes.run()))
    checker = check(build_report(tmp_path))
    assert "truncated" in checker.text
    assert checker.text.index("scan 2") < checker.text.index("scan 0")
    assert "1 of 3 scans flagged at 0.05" in re.sub(r"\s+", " ", checker.text)
    assert "3 healthy subjects" in checker.text
    assert checker.seen.count("img") == 3
    lines = [line.strip() for line in checker.text.splitlines()]
    assert "⚠ another spacing; ask at the site" in lines
    assert "⚠ another contrast" in lines


def test_warnings_are_whole_without_detection_files_too(tmp_path: Path) -> None:
    rows = [{"key": "a", "score": "1", "threshold": "0.4", "warnings": "one; and the rest of it"}]
    checker = check(write_detection_page(tmp_path / "report.html", rows=rows))
    assert "⚠ one; and the rest of it" in checker.text


def test_warnings_of_scans_whose_picture_is_not_shown_are_written_out(tmp_path: Path) -> None:
    detect_output(tmp_path)
    (tmp_path / "a" / "scan 0" / "preview.png").unlink()
    checker = check(build_report(tmp_path))
    assert checker.seen.count("img") == 2
    assert "⚠ another spacing; ask at the site" in checker.text


def test_a_detection_without_calibration_decides_nothing(tmp_path: Path) -> None:
    rows = [{"key": "a", "score": "1", "volume_ml": "", "components": ""}, {"key": "b", "score": "2"}]
    run = {**scenes.run(), "calibration": {}}
    text = check(write_detection_page(tmp_path / "report.html", rows=rows, run=run)).text
    assert "2 scans. Not calibrated: without a threshold nothing is decided" in text
    assert text.count("nothing is decided") == 1
    assert "flagged at" not in text


def test_a_detection_of_many_scans_links_to_pictures_it_cannot_hold(tmp_path: Path) -> None:
    detect_output(tmp_path, count=8, side=700)
    checker = check(build_report(tmp_path))
    assert 0 < checker.seen.count("img") < 8
    assert 'href="a/scan%20' in (tmp_path / "report.html").read_text()


def test_pictures_outside_the_folder_are_never_read(tmp_path: Path) -> None:
    inside = tmp_path / "out"
    inside.mkdir()
    (tmp_path / "secret").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "secret" / "preview.png")
    write_csv(inside / "scores.csv", [{"key": "../secret", "score": "1"}])
    assert "img" not in check(build_report(inside)).seen


def test_a_benchmark(tmp_path: Path) -> None:
    rows = [
        {
            "cohort": cohort,
            "method": method,
            "seed": seed,
            "status": "done",
            "sign": "both",
            "steps": 100,
            "voxel_ap": ap,
            "voxel_ap_lo": ap - 0.1,
            "voxel_ap_hi": ap + 0.1,
            "voxel_prevalence": 0.02,
            "repeat": f"--method {method}",
            "versus_reference": ap - 0.3,
        }
        for cohort in ("one", "two")
        for seed in (0, 1)
        for method, ap in (("intensity", 0.3), ("dae", 0.5))
    ]
    rows.append({"cohort": "two", "method": "vae", "seed": 0, "status": "failed", "problem": "diverged"})
    rows.append({"cohort": "three", "method": "dae", "seed": 0, "status": "done", "image_auroc": 0.8})
    write_csv(tmp_path / "leaderboard.csv", rows)
    (tmp_path / "leaderboard.md").write_text(
        "# Leaderboard\n\nMade by `unlesion bench x.yaml --out y`. More.\n"
    )
    text = " ".join(check(build_report(tmp_path)).text.split())
    assert "unlesion bench x.yaml --out y" in text
    assert "diverged" in text
    first = text[text.index("one Sorted") :]
    assert first.index("dae") < first.index("intensity")
    assert "+0.200" in text
    check(write_bench_page(tmp_path / "none.html", rows=[]))


def test_a_benchmark_of_several_modalities_shows_image_auroc_within_them(tmp_path: Path) -> None:
    values = {"atlas": (0.9, 0.6), "dae": (0.7, 0.8)}
    rows: list[dict[str, Any]] = [
        {"cohort": "two", "method": m, "status": "done", "image_auroc": pooled, "image_auroc_within": within}
        for m, (pooled, within) in values.items()
    ]

    def page() -> str:
        write_csv(tmp_path / "leaderboard.csv", rows)
        return " ".join(check(build_report(tmp_path)).text.split())

    text = page()
    assert "Sorted by image AUROC within modality" in text and "of its modality" in text
    assert text.index("dae") < text.index("atlas")
    assert "0.800" in text and "0.900" not in text and "outscores a healthy one;" not in text
    # A row of before has the other only: both are shown, and the newer one ranks.
    rows.append({"cohort": "two", "method": "old", "status": "done", "image_auroc": 0.95})
    text = page()
    assert "0.800" in text and "0.900" in text and "0.950" in text
    assert text.index("dae") < text.index("atlas") < text.index("old")


def test_report_decides_by_the_files_present(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nothing to report on"):
        build_report(tmp_path)
    (tmp_path / "detector.json").write_text(json.dumps(scenes.run()))
    assert "Run " in check(build_report(tmp_path)).text
    (tmp_path / "metrics.json").write_text(json.dumps(scenes.metrics()))
    write_csv(tmp_path / "scans.csv", scenes.scan_rows())
    (tmp_path / "curves.json").write_text(json.dumps(scenes.curves()))
    scenes.gallery().save(tmp_path / "gallery")
    text = check(build_report(tmp_path)).text
    assert "Evaluation of dae" in text
    once = (tmp_path / "report.html").read_bytes()
    build_report(tmp_path)
    assert (tmp_path / "report.html").read_bytes() == once


def test_damaged_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text("{")
    with pytest.raises(BadInput, match="metrics"):
        build_report(tmp_path)
    (tmp_path / "metrics.json").write_text("{}")
    (tmp_path / "scans.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(BadInput, match=r"scans\.csv"):
        build_report(tmp_path)
