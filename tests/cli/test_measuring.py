"""Calibrating, evaluating and comparing a run, and repeating all of it, end to end on pictures."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

from tests.cli.conftest import Command
from unlesion.report.provenance import repeat_evaluation


def test_evaluate_compare_and_maps_of_anybody(
    unlesion: Command, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    assert unlesion("evaluate", trained, pictures, "--out", one, "--jobs", 1).code == 0
    metrics = json.loads((one / "metrics.json").read_text())
    assert 0 <= metrics["voxel"]["ap"]["value"] <= 1
    assert metrics["voxel"]["ap"]["value"] > 2 * metrics["voxel"]["prevalence"]["value"]
    assert set(metrics["voxel"]["dice_at_fpr"]) == {"fpr_0001", "fpr_0005", "fpr_001", "fpr_005"}
    assert "shared" in metrics
    assert (one / "report.html").stat().st_size < 10_000_000
    # The same maps, detected and read back from files, give the same numbers.
    maps = tmp_path / "maps"
    words = ["detect", trained, pictures, "--where", "split=test,val", "--out", maps, "--jobs", 1]
    assert unlesion(*words).code == 0
    assert unlesion("evaluate", maps, pictures, "--out", two).code == 0
    again = json.loads((two / "metrics.json").read_text())
    assert abs(again["image"]["auroc"]["value"] - metrics["image"]["auroc"]["value"]) < 1e-9
    assert again["sign"] == "both" and again["warnings"] == []
    assert again["shared"]["voxel"]["ap"]["value"] > 0.5
    shutil.rmtree(maps / "s08")  # one of val
    (maps / "s12" / "detection.json").unlink()
    (maps / "s12" / "healthy.npy").unlink()
    assert unlesion("evaluate", maps, pictures, "--where", "split=test", "--out", two).code == 0
    again = json.loads((two / "metrics.json").read_text())
    assert again["sign"] is None and "shared" not in again
    assert [words[:15] for words in again["warnings"]] == [
        "5 of 6 maps com",
        "1 of 6 scans: i",
        "6 of 6 scans: l",
        "1 of 6 scans: n",
    ]
    assert "shared scoring is left out" in (two / "report.html").read_text()
    said = unlesion("compare", one, one, "--out", tmp_path / "compare")
    assert said.code == 0, said.err
    assert "voxel.ap" in said.out
    differences = re.findall(r"difference (\S+)", said.out)
    assert differences and set(differences) == {"+0.000"}
    page = (tmp_path / "compare" / "report.html").read_text()
    assert "report.html" in said.err and "The same scans" in page and "cannot be told apart" in page
    # The same folder twice is told apart, and no other verb's page is replaced.
    assert f"({one.as_posix()}) 2 minus" in page
    assert "choose another folder" in unlesion("compare", one, one, "--out", one).complaint
    said = unlesion("compare", one, one, "--out", tmp_path / "quiet", "--quiet")
    assert (said.code, said.out) == (0, "")
    assert (tmp_path / "quiet" / "compare.json").exists()


def test_evaluating_on_scans_that_the_run_knows_is_warned_of(
    unlesion: Command, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert unlesion("evaluate", trained, pictures, "--out", out, "--jobs", 1).code == 0
    assert json.loads((out / "metrics.json").read_text())["warnings"] == []
    said = unlesion("evaluate", trained, pictures, "--split", "all", "--out", out, "--jobs", 1)
    assert said.code == 0 and "8 of 18 scans are among those that the run learnt from" in said.err
    metrics = json.loads((out / "metrics.json").read_text())
    assert len(metrics["warnings"]) == 2 and "met" not in metrics["record"]
    assert "4 of 18 scans are among those that calibrated the run" in (out / "report.html").read_text()


def test_the_commands_that_repeat_an_evaluation_are_whole(
    unlesion: Command, pictures: Path, tmp_path: Path
) -> None:
    def all_of_it(folder: Path, *, given: Path) -> dict[str, object]:
        run, mine, measured = folder / "run", folder / "mine", folder / "measured"
        if given == pictures:
            words = [
                "--method",
                "atlas",
                "--preset",
                "tiny",
                "--where",
                "group=a,b",
                "--jobs",
                1,
                "--device",
                "cpu",
            ]
            assert unlesion("train", pictures, *words, "--out", run).code == 0
            words = ["--where", "split=val", "--where", "group=a", "--set", "scoring.post.median_mm=9"]
            assert unlesion("calibrate", run, pictures, *words, "--device", "cpu", "--out", mine).code == 0
            words = ["--split", "test,val", "--where", "group=b", "--device", "cpu"]
            assert unlesion("evaluate", mine, pictures, *words, "--out", measured).code == 0
        else:
            places = {
                "COHORT": pictures,
                "HEALTHY": pictures,
                "TRAINED": run,
                "RUN": mine,
                "measured": measured,
            }
            for command in repeat_evaluation(json.loads((given / "metrics.json").read_text()), given):
                said = unlesion(*(places.get(word, word) for word in shlex.split(command)[1:]))
                assert said.code == 0, said.err
        return json.loads((measured / "metrics.json").read_text())

    first = all_of_it(tmp_path / "first", given=pictures)
    again = all_of_it(tmp_path / "again", given=tmp_path / "first" / "measured")
    for name in ("cohort", "voxel", "image", "calibration", "scoring", "n"):
        assert again[name] == first[name]
    page = (tmp_path / "first" / "measured" / "report.html").read_text()
    assert "--recipe slices" in page and "group=b" in page and "scoring.post.median_mm=9" in page
    assert "unlesion calibrate TRAINED HEALTHY" in (tmp_path / "first" / "mine" / "report.html").read_text()


def test_calibrate_on_ones_own_scans(
    unlesion: Command, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mine"
    said = unlesion("calibrate", trained, pictures, "--where", "split=train,val", "--out", out, "--jobs", 1)
    assert said.code == 0, said.err
    before = json.loads((trained / "detector.json").read_text())["calibration"]["native"]
    after = json.loads((out / "detector.json").read_text())["calibration"]["native"]
    assert (before["n_subjects"], after["n_subjects"]) == (4, 12)
    assert unlesion("detect", out, pictures.parent / "s15.png", "--out", tmp_path / "d").code == 0


def test_calibrating_with_another_filter_filters_both_scorings(
    unlesion: Command, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    """The shared map kept the filter of the training: two methods compared after it were filtered otherwise."""
    words = ("--where", "split=val", "--set", "scoring.post.median_mm=3", "--set", "scoring.pool=max")
    said = unlesion("calibrate", trained, pictures, *words, "--out", tmp_path / "mine", "--jobs", 1)
    assert said.code == 0, said.err
    scoring = json.loads((tmp_path / "mine" / "detector.json").read_text())["scoring"]
    assert scoring["native"]["post"]["median_mm"] == scoring["shared"]["post"]["median_mm"] == 3
    assert scoring["native"]["pool"] == scoring["shared"]["pool"] == "max"


def test_calibrating_on_what_was_learnt_is_said_on_the_page(
    unlesion: Command, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    """It was said once, on the console."""
    said = unlesion(
        "calibrate", trained, pictures, "--where", "split=train", "--out", tmp_path / "mine", "--jobs", 1
    )
    (words,) = (line.removeprefix("warning: ") for line in said.err.splitlines() if "learn" in line)
    record = json.loads((tmp_path / "mine" / "detector.json").read_text())["record"]
    assert any(words in " ".join(one.split()) for one in record["calibrated_on"]["warnings"])
    assert words[:40] in (tmp_path / "mine" / "report.html").read_text()
