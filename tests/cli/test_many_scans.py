"""Cohorts end to end: channels, repeated calls, faults of single scans, honest splits."""

from __future__ import annotations

import csv
import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Command
from tests.cohorts import write_pictures
from unlesion.detector import Detector


def rows_of(out: Path) -> dict[str, dict[str, str]]:
    with (out / "scores.csv").open(newline="") as stream:
        return {row["key"]: row for row in csv.DictReader(stream)}


def train(unlesion: Command, cohort: Path, out: Path, *words: object) -> Path:
    said = unlesion(
        "train",
        cohort,
        "--method",
        "dae",
        "--preset",
        "tiny",
        "--steps",
        3,
        "--out",
        out,
        "--jobs",
        1,
        *words,
    )
    assert said.code == 0, said.err
    return out


def test_three_channels_there_and_back(
    unlesion: Command, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    manifest = write_pictures(tmp_path / "c", modalities=("T1", "T2", "FLAIR"))
    channels = ["--channels", "T1,T2,FLAIR", "--jobs", 1]
    run = train(unlesion, manifest, tmp_path / "run", *channels[:2])
    maps = tmp_path / "maps"
    said = unlesion("detect", run, manifest, "--where", "split=val,test", "--out", maps, *channels)
    assert said.code == 0, said.err
    for name in ("healthy_T1", "healthy_T2", "healthy_FLAIR"):
        assert np.load(maps / "s15" / f"{name}.npy").shape == (48, 48)
        assert (maps / "s15" / f"{name}.png").exists()
    assert not (maps / "s15" / "healthy.npy").exists()
    said = unlesion("evaluate", run, manifest, "--out", tmp_path / "one", *channels)
    assert said.code == 0, said.err
    said = unlesion("evaluate", maps, manifest, "--out", tmp_path / "two", *channels)
    assert said.code == 0, said.err
    one, two = (json.loads((tmp_path / n / "metrics.json").read_text()) for n in ("one", "two"))
    assert one["healthy"]["mae"]["value"] is not None
    assert two["healthy"]["ssim"]["value"] is not None
    assert one["image"]["auroc"]["value"] == pytest.approx(two["image"]["auroc"]["value"])
    # Another number of channels is bad input, whatever the verb; here for every scan.
    for words in (
        ("detect", trained, manifest, *channels),
        ("evaluate", trained, manifest, *channels),
        ("calibrate", trained, manifest, *channels),
        ("evaluate", run, pictures, "--jobs", 1),
    ):
        said = unlesion(*words, "--out", tmp_path / "wrong" / str(words[0]) / Path(str(words[1])).name)
        assert said.code == 2, said.err
        assert "trained on" in said.err
        assert said.complaint
    # So are the same channels in another order, before any scan is looked at.
    for verb in ("detect", "evaluate", "calibrate"):
        said = unlesion(verb, run, manifest, "--channels", "FLAIR,T1,T2", "--out", tmp_path / "turned" / verb)
        assert said.code == 2, said.err
        assert "use --channels T1,T2,FLAIR" in said.complaint
    # A scan out of a store was joined when it was prepared.
    store = tmp_path / "store"
    said = unlesion(
        "prepare", manifest, "--channels", "T2,T1,FLAIR", "--set", "recipe.size=32", "--out", store
    )
    assert said.code == 0, said.err
    said = unlesion("detect", run, store, "--where", "split=test", "--out", tmp_path / "stored", "--jobs", 1)
    assert said.code == 2
    assert "in the order T1,T2,FLAIR" in said.err


def test_a_fault_in_one_scan_costs_only_that_scan(
    unlesion: Command, trained: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Detector.evidence

    def faulty(self: Detector, prepared: object, **words: object) -> object:
        if prepared.key == "s13":  # type: ignore[attr-defined]
            raise RuntimeError("oops")
        return real(self, prepared, **words)  # type: ignore[arg-type]

    monkeypatch.setattr(Detector, "evidence", faulty)
    for verb, where in (("detect", "split=test"), ("evaluate", "split=test"), ("calibrate", "label=healthy")):
        out = tmp_path / verb
        said = unlesion(verb, trained, pictures, "--where", where, "--out", out, "--jobs", 1)
        assert said.code == 1, said.err
        assert "1 by a failure of ours" in said.complaint
        assert 'raise RuntimeError("oops")' in (out / "unlesion.log").read_text()
    rows = rows_of(tmp_path / "detect")
    assert "oops" in rows["s13"]["problem"]
    assert len([row for row in rows.values() if row["score"]]) == 5
    assert json.loads((tmp_path / "evaluate" / "metrics.json").read_text())["n"]["scans"]["value"] == 5
    saved = json.loads((tmp_path / "calibrate" / "detector.json").read_text())
    assert saved["calibration"]["native"]["n_subjects"] == 14


def test_detect_again_does_what_changed_and_keeps_other_rows(
    unlesion: Command, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "scans", tmp_path / "out"
    for name in ("x", "x/y"):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        shutil.copy(pictures.parent / "s12.png", folder / f"{name}.png")
    words = ["detect", trained, folder, "--out", out, "--jobs", 1]
    assert unlesion(*words).code == 0
    assert "2 of 2 scans done already" in unlesion(*words).err
    first = rows_of(out)
    # Another image under the same name is another scan; what was there of the old one goes, no more.
    shutil.copy(pictures.parent / "s15.png", folder / "x.png")
    (out / "x" / "healthy_old.npy").write_bytes(b"stale")
    (out / "x" / "notes.txt").write_text("mine")
    said = unlesion(*words)
    assert said.code == 0, said.err
    assert "1 of 2 scans done already" in said.err
    assert rows_of(out)["x"]["score"] != first["x"]["score"]
    assert rows_of(out)["x/y"] == first["x/y"]
    assert {p.name for p in (out / "x").iterdir()} == {
        "y", "notes.txt", "healthy.npy", "healthy.png", "anomaly.npy", "anomaly.png", "lesions.npy",
        "lesions.png", "preview.png", "detection.json",
    }  # fmt: skip
    assert (out / "x" / "y" / "detection.json").exists()
    # Rows of other calls stay while their results do.
    assert unlesion("detect", trained, pictures.parent / "s13.png", "--out", out, "--jobs", 1).code == 0
    assert set(rows_of(out)) == {"x", "x/y", "s13"}
    shutil.rmtree(out / "x")
    assert unlesion("detect", trained, pictures.parent / "s14.png", "--out", out, "--jobs", 1).code == 0
    assert set(rows_of(out)) == {"s13", "s14"}


def test_another_volume_is_another_scan(unlesion: Command, trained: Path, tmp_path: Path) -> None:
    pages = [Image.fromarray(np.random.default_rng(i).integers(1, 255, (48, 48), np.uint8)) for i in (0, 1)]
    pages[0].save(tmp_path / "two.tif", save_all=True, append_images=pages[1:])
    words = ["detect", trained, tmp_path / "two.tif", "--out", tmp_path / "out", "--jobs", 1]
    assert unlesion(*words, "--volume", 0).code == 0
    before = rows_of(tmp_path / "out")["two"]["score"]
    said = unlesion(*words, "--volume", 1)
    assert "done already" not in said.err
    assert rows_of(tmp_path / "out")["two"]["score"] != before


def test_a_failed_write_leaves_the_earlier_detection(
    unlesion: Command, trained: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    words = ["detect", trained, pictures.parent / "s15.png", "--out", out, "--jobs", 1]
    assert unlesion(*words).code == 0
    before = {p.name: p.read_bytes() for p in (out / "s15").iterdir()}

    def broken(*a: object, **b: object) -> None:
        raise RuntimeError("oops")

    monkeypatch.setattr("unlesion.detection.write_binary", broken)
    assert unlesion(*words, "--rate", 0.05).code == 1
    assert {p.name: p.read_bytes() for p in (out / "s15").iterdir()} == before


def test_no_split_column_is_no_licence_to_test_on_training_scans(
    unlesion: Command, trained: Path, tmp_path: Path
) -> None:
    manifest = write_pictures(tmp_path / "c", train=12, val=0, healthy=0, anomalous=2, split=False)
    run = train(unlesion, manifest, tmp_path / "run")

    def evaluated(run: Path, *words: object) -> tuple[dict[str, object], str]:
        out = tmp_path / f"e{len(list(tmp_path.iterdir()))}"
        said = unlesion("evaluate", run, manifest, "--out", out, "--jobs", 1, *words)
        assert said.code == 0, said.err
        return json.loads((out / "metrics.json").read_text()), said.err

    metrics, said = evaluated(run)
    assert metrics["cohort"]["split"] == "val"  # type: ignore[index]
    assert 0 < metrics["n"]["scans"]["value"] < 14  # type: ignore[index]
    assert "did not learn from" in said and "are among those" not in said
    metrics, said = evaluated(run, "--split", "all")
    assert (metrics["cohort"]["split"], metrics["n"]["scans"]["value"]) == ("all", 14)  # type: ignore[index]
    assert "of 14 scans are among those that the run learnt from" in said
    metrics, said = evaluated(trained)
    assert (metrics["cohort"]["split"], metrics["n"]["scans"]["value"]) == ("all", 14)  # type: ignore[index]
    said = unlesion("evaluate", trained, manifest, "--split", "val", "--out", tmp_path / "no").complaint
    assert "no column split" in said


def test_calibrate_with_other_scoring_and_compare_shared(
    unlesion: Command, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mine"
    words = ["calibrate", trained, pictures, "--out", out, "--jobs", 1, "--set"]
    for setting, wanted in (
        ("recipe.size=64", "scoring and of detection only"),
        ("scoring.sing=bright", "sign"),
        ("scoring.standardise=true", "train with it"),
    ):
        assert wanted in unlesion(*words, setting).complaint
    assert unlesion(*words, "scoring.sign=bright", "--set", "scoring.post.median_mm=0").code == 0
    old, new = (json.loads((run / "detector.json").read_text()) for run in (trained, out))
    assert new["scoring"]["native"]["sign"] == "bright"
    assert new["scoring"]["native"]["post"]["median_mm"] == 0
    assert new["scoring"]["native"]["pool"] == old["scoring"]["native"]["pool"]
    # Post-processing is common to both scorings; the sign is the native one's alone.
    post = new["scoring"]["native"]["post"]
    assert new["scoring"]["shared"] == {**old["scoring"]["shared"], "post": post}
    assert "calibrate" in (out / "unlesion.log").read_text()
    logging.getLogger("unlesion").info("still written")
    assert "still written" in (out / "unlesion.log").read_text()
    signed = tmp_path / "signed"
    assert (
        unlesion(
            "calibrate", trained, pictures, "--out", signed, "--jobs", 1, "--set", "scoring.sign=bright"
        ).code
        == 0
    )
    for run in (trained, signed):
        words = ["evaluate", run, pictures, "--out", tmp_path / "e" / run.name, "--jobs", 1]
        assert unlesion(*words).code == 0
    pair = [tmp_path / "e" / trained.name, tmp_path / "e" / "signed"]
    said = unlesion("compare", *pair, "--scoring", "shared", "--out", tmp_path / "compare")
    assert said.code == 0, said.err
    assert "shared scoring" in said.out
    assert "difference +0.000" in said.out
    assert "compare" in (tmp_path / "compare" / "unlesion.log").read_text()
    assert "native or shared" in unlesion("compare", *pair, "--scoring", "both").complaint


def test_calibrate_with_other_settings_of_detection(
    unlesion: Command, pictures: Path, tmp_path: Path
) -> None:
    """Another way to look at scans needs one's own healthy scans, not those that the run learnt from."""
    words = ["train", pictures, "--preset", "tiny", "--jobs", 1, "--set", "recipe.size=32"]
    assert unlesion(*words, "--method", "ddpm", "--steps", 20, "--out", tmp_path / "ddpm").code == 0
    mine, same = tmp_path / "mine", tmp_path / "same"
    calibrate = ["calibrate", tmp_path / "ddpm", pictures, "--where", "split=val", "--jobs", 1, "--set"]
    for setting, wanted in (
        ("method.t_test=soon", "t_test"),
        ("method.dropout=0.5", "training hangs on it, train with it; free are method."),
        ("method.drop=2", "drop"),
    ):
        assert wanted in unlesion(*calibrate, setting, "--out", mine).complaint
    assert unlesion(*calibrate, "method.t_test=[400]", "--out", mine).code == 0
    # Oracle: the weights taken over by a training that has the setting from the beginning.
    words += ["method.t_test=[400]", "--method", "ddpm", "--weights", tmp_path / "ddpm", "--out", same]
    assert unlesion(*words).code == 0
    old, new, other = (
        json.loads((run / "detector.json").read_text()) for run in (tmp_path / "ddpm", mine, same)
    )
    assert new["method"] == other["method"] != old["method"]
    assert new["calibration"] == other["calibration"] != old["calibration"]
    again = ["calibrate", mine, pictures, "--where", "split=val", "--jobs", 1, "--out", tmp_path / "again"]
    assert unlesion(*again).code == 0
    assert json.loads((tmp_path / "again" / "detector.json").read_text())["calibration"] == new["calibration"]


def test_settings_given_to_a_verb_that_takes_a_run_as_it_is(
    unlesion: Command, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    for verb in ("detect", "evaluate"):
        said = unlesion(verb, trained, pictures, "--set", "scoring.sign=dark", "--out", tmp_path / "out")
        assert said.code == 2
        assert f"{verb} takes a run as it is" in said.complaint and "unlesion calibrate" in said.complaint
    assert not (tmp_path / "out").exists()


def test_what_another_run_found_does_not_stay_where_this_one_fails(
    unlesion: Command, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    """It was measured beside this run's maps without a word."""
    other, out, scan = tmp_path / "other", tmp_path / "out", tmp_path / "scan" / "x.png"
    shutil.copytree(trained, other)
    scan.parent.mkdir()
    shutil.copy(pictures.parent / "s15.png", scan)
    assert unlesion("detect", other, scan.parent, "--out", out, "--jobs", 1).code == 0
    scan.write_bytes(b"cut off")
    assert unlesion("detect", trained, scan.parent, "--out", out, "--jobs", 1).code == 2
    assert not (out / "x" / "anomaly.npy").exists() and not (out / "x" / "detection.json").exists()
