"""The verbs end to end, on pictures; what measures a run is in test_measuring.py."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Command
from unlesion import __version__
from unlesion.calibration import Calibration


def test_train_writes_a_whole_run(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    wanted = {"detector.json", "weights.safetensors", "card.md", "history.csv", "checkpoints", "report.html"}
    assert wanted <= names
    assert ".store" not in names
    saved = json.loads((trained / "detector.json").read_text())
    assert saved["method"]["name"] == "dae"
    assert saved["record"]["steps"] == {"train": 60}
    assert "--steps train=60" in saved["record"]["repeat"]
    assert set(saved["calibration"]) == {"native", "shared"}
    assert "not a medical device" in saved["notice"]
    assert not list(trained.rglob("*.pkl")) + list(trained.rglob("*.pt")) + list(trained.rglob("*.ckpt"))


def test_detect_writes_results_in_the_space_of_the_scan(
    unlesion: Command, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    said = unlesion(
        "detect", trained, pictures, "--where", "split=test", "--out", out, "--alpha", 0.2, "--jobs", 1
    )
    assert said.code == 0, said.err
    rows = list(csv.DictReader((out / "scores.csv").open()))
    assert [row["key"] for row in rows] == [f"s{number}" for number in range(12, 18)]
    assert all(0 < float(row["p_value"]) <= 1 for row in rows)
    lesion = out / "s15"
    found = {path.name for path in lesion.iterdir()}
    assert {
        "healthy.npy",
        "anomaly.npy",
        "lesions.npy",
        "lesions.png",
        "preview.png",
        "detection.json",
    } <= found
    image = np.asarray(Image.open(pictures.parent / "s15.png"))
    for name in ("healthy", "anomaly", "lesions"):
        assert np.load(lesion / f"{name}.npy").shape == image.shape
    healthy = np.load(lesion / "healthy.npy")
    assert healthy.dtype == np.float32
    # In the scan's own units: an untouched corner keeps its values, and tissue is of its order.
    assert healthy[0, 0] == image[0, 0]
    assert 60 < np.median(healthy[image > 80]) < 200
    said = json.loads((lesion / "detection.json").read_text())
    assert {"score", "p_value", "flagged", "alpha", "threshold", "volume_ml", "components"} <= set(said)
    assert {"warnings", "run", "recipe"} <= set(said)
    calibration = Calibration.from_json(
        json.loads((trained / "detector.json").read_text())["calibration"]["native"]
    )
    for row in rows:
        one = json.loads((out / row["key"] / "detection.json").read_text())
        assert one["p_value"] == pytest.approx(calibration.p_value(one["score"]))
        assert one["flagged"] == (one["p_value"] <= 0.2)
    mean = {row["label"]: [] for row in rows}
    for row in rows:
        mean[row["label"]].append(float(row["score"]))
    assert np.mean(mean["anomalous"]) > np.mean(mean["healthy"])


def test_a_single_slice_has_an_area_and_no_volume(
    unlesion: Command, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "scans"
    folder.mkdir()
    pixels = np.asarray(Image.open(pictures.parent / "s15.png")).astype(np.float32)
    for name, voxels in (("flat", pixels), ("one_slice", pixels[..., None])):
        image = nibabel.Nifti1Image(voxels, np.diag([4.0, 5.0, 6.0, 1.0]))
        nibabel.save(image, folder / f"{name}.nii.gz")
    shutil.copy(pictures.parent / "s15.png", folder / "unknown.png")
    said = unlesion("detect", trained, folder, "--out", tmp_path / "out", "--jobs", 1)
    assert said.code == 0, said.err
    for name in ("flat", "one_slice"):
        found = json.loads((tmp_path / "out" / name / "detection.json").read_text())
        lesions = np.asarray(nibabel.load(tmp_path / "out" / name / "lesions.nii.gz").dataobj)
        assert found["volume_ml"] is None
        assert found["area_mm2"] == pytest.approx(20.0 * lesions.sum()) and found["area_mm2"] > 0
    found = json.loads((tmp_path / "out" / "unknown" / "detection.json").read_text())
    assert found["volume_ml"] is None and found["area_mm2"] is None
    rows = {row["key"]: row for row in csv.DictReader((tmp_path / "out" / "scores.csv").open())}
    assert float(rows["flat"]["area_mm2"]) > 0 and rows["flat"]["volume_ml"] == ""
    assert "mm²" in (tmp_path / "out" / "report.html").read_text()


def test_pictures_and_numbers_follow_the_rate(
    unlesion: Command, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    drawn = {}
    for rate in (0.01, 0.05):
        out = tmp_path / str(rate)
        said = unlesion(
            "detect", trained, pictures.parent / "s15.png", "--rate", rate, "--out", out, "--jobs", 1
        )
        assert said.code == 0, said.err
        found = json.loads((out / "s15" / "detection.json").read_text())
        anomaly, lesions = np.load(out / "s15" / "anomaly.npy"), np.load(out / "s15" / "lesions.npy") > 0
        assert found["rate"] == rate and anomaly[lesions].min() > found["threshold"]
        drawn[rate] = np.asarray(Image.open(out / "s15" / "anomaly.png"))
        # White is twice the threshold.
        np.testing.assert_allclose(
            drawn[rate], 255 * np.clip(anomaly / found["threshold"] / 2, 0, 1), atol=1.01
        )
    assert drawn[0.05].mean() > drawn[0.01].mean()


def test_a_map_of_rates_says_what_lesions_marks_at_every_rate(
    unlesion: Command, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    scan, out = pictures.parent / "s15.png", tmp_path / "out"
    words = ["detect", trained, scan, "--out", out, "--jobs", 1]
    assert unlesion(*words).code == 0
    assert not (out / "s15" / "rate_map.npy").exists()
    said = unlesion(*words, "--rate-map")
    assert said.code == 0 and "done already" not in said.err
    rates, anomaly = (np.load(out / "s15" / f"{name}.npy") for name in ("rate_map", "anomaly"))
    assert rates.dtype == np.float32 and rates.shape == anomaly.shape
    assert rates.min() < 0.01 < 0.5 < rates.max() <= 1
    found = json.loads((out / "s15" / "detection.json").read_text())
    assert "rate_map.npy" in found["files"]
    # But for components that are too small to be told.
    lesions = np.load(out / "s15" / "lesions.npy") > 0
    assert lesions.any() and (rates[lesions] <= np.float32(0.01)).all()
    np.testing.assert_array_equal(
        (rates <= np.float32(0.01)) & ~lesions, (anomaly > found["threshold"]) & ~lesions & (rates < 1)
    )
    assert "done already" in unlesion(*words, "--rate-map").err
    # Without it again: what was made for the other words goes.
    assert unlesion(*words).code == 0 and not (out / "s15" / "rate_map.npy").exists()

    old = tmp_path / "old"
    shutil.copytree(trained, old)
    saved = json.loads((old / "detector.json").read_text())
    for calibration in saved["calibration"].values():
        del calibration["exceeded"]
    (old / "detector.json").write_text(json.dumps(saved))
    said = unlesion("detect", old, scan, "--rate-map", "--out", tmp_path / "no")
    assert said.code == 2 and "calibrated by an older version" in said.complaint
    assert unlesion("detect", old, scan, "--out", tmp_path / "yes", "--jobs", 1).code == 0


def test_a_second_detect_skips_what_is_done(
    unlesion: Command, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    words = ["detect", trained, pictures, "--where", "split=test", "--out", tmp_path / "out", "--jobs", 1]
    assert unlesion(*words).code == 0
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("anomaly.npy")}
    (tmp_path / "out" / "s15" / "detection.json").unlink()
    said = unlesion(*words)
    assert said.code == 0
    assert "5 of 6 scans done already" in said.err
    after = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("anomaly.npy")}
    assert {p.parent.name for p in before if before[p] != after[p]} == {"s15"}


def test_a_second_detect_makes_again_what_was_lost(
    unlesion: Command, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    words = ["detect", trained, pictures, "--where", "split=test", "--out", tmp_path / "out", "--jobs", 1]
    assert unlesion(*words).code == 0
    lost = tmp_path / "out" / "s15" / "lesions.npy"
    lost.unlink()
    said = unlesion(*words)
    assert said.code == 0 and lost.exists()
    assert "5 of 6 scans done already" in said.err


def test_results_inside_the_folder_of_scans_are_no_scans(
    unlesion: Command, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "scans"
    folder.mkdir()
    for name in ("s12.png", "s13.png"):
        shutil.copy(pictures.parent / name, folder)
    words = ["detect", trained, folder, "--out", folder / "found", "--jobs", 1]
    for _ in range(2):
        said = unlesion(*words)
        assert said.code == 0, said.err
        rows = list(csv.DictReader((folder / "found" / "scores.csv").open()))
        assert [row["key"] for row in rows] == ["s12", "s13"]


def test_a_training_with_a_bad_scan_ends_with_2_and_a_run(
    unlesion: Command, pictures: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "cohort"
    shutil.copytree(pictures.parent, folder)
    rows = list(csv.DictReader((folder / pictures.name).open()))
    for split in ("train", "val"):
        name = next(row["path"] for row in rows if (row["split"], row["label"]) == (split, "healthy"))
        (folder / name).write_bytes(b"no image")
    said = unlesion(
        "train",
        folder / pictures.name,
        "--method",
        "atlas",
        "--preset",
        "tiny",
        "--out",
        tmp_path / "run",
        "--jobs",
        1,
    )
    assert said.code == 2
    assert "2 scans could not be used (named above)" in said.complaint
    assert (
        unlesion("detect", tmp_path / "run", folder / "s12.png", "--out", tmp_path / "o", "--jobs", 1).code
        == 0
    )


def test_alpha_needs_a_calibration(unlesion: Command, trained: Path, pictures: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    saved = json.loads((run / "detector.json").read_text())
    (run / "detector.json").write_text(json.dumps({**saved, "calibration": {}}))
    scan = pictures.parent / "s12.png"
    said = unlesion("detect", run, scan, "--alpha", 0.1, "--out", tmp_path / "out", "--jobs", 1)
    assert said.code == 2 and "not calibrated" in said.complaint


def test_without_calibration_nothing_is_decided(
    unlesion: Command, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    shutil.copytree(trained, run)
    saved = json.loads((run / "detector.json").read_text())
    (run / "detector.json").write_text(json.dumps({**saved, "calibration": {}}))
    said = unlesion("detect", run, pictures, "--where", "label=anomalous", "--out", out, "--jobs", 1)
    assert said.code == 0, said.err
    for row in csv.DictReader((out / "scores.csv").open()):
        assert row["score"]
        # A zero would read as a finding.
        assert row["threshold"] == row["volume_ml"] == row["components"] == ""
        assert "nothing is decided" in row["warnings"]
        # Written by the contract, but empty.
        assert not np.load(out / row["key"] / "lesions.npy").any()
    page = (out / "report.html").read_text()
    assert "nothing is decided" in page
    assert "no lesions" not in page


def test_a_bad_scan_is_reported_and_the_others_go_on(
    unlesion: Command, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "scans"
    folder.mkdir()
    shutil.copy(pictures.parent / "s12.png", folder / "good.png")
    (folder / "bad.png").write_bytes((pictures.parent / "s13.png").read_bytes()[:200])
    said = unlesion("detect", trained, folder, "--out", tmp_path / "out", "--jobs", 1)
    assert said.code == 2
    assert "1 of 2 scans could not be used" in said.complaint
    assert (tmp_path / "out" / "good" / "detection.json").exists()
    rows = {row["key"]: row for row in csv.DictReader((tmp_path / "out" / "scores.csv").open())}
    assert "bad.png" in rows["bad"]["problem"]
    assert rows["good"]["problem"] == ""


def test_prepare_once_and_train_on_the_store(unlesion: Command, pictures: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    words = [
        "prepare",
        pictures,
        "--recipe",
        "slices",
        "--set",
        "recipe.size=32",
        "--out",
        store,
        "--jobs",
        1,
    ]
    assert unlesion(*words).code == 0
    said = unlesion(
        "train", store, "--method", "atlas", "--preset", "tiny", "--out", tmp_path / "run", "--jobs", 1
    )
    assert said.code == 0, said.err
    said = unlesion("detect", tmp_path / "run", store, "--out", tmp_path / "out", "--jobs", 1)
    assert said.code == 0 and "results are on its grid" in said.err
    assert len(list((tmp_path / "out").rglob("anomaly.npy"))) == 18
    said = unlesion("evaluate", tmp_path / "run", store, "--out", tmp_path / "measured", "--jobs", 1)
    assert said.code == 0 and "results are on its grid" in said.err
    assert any(
        "prepared store" in words
        for words in json.loads((tmp_path / "measured" / "metrics.json").read_text())["warnings"]
    )


def test_methods_lists_facts(unlesion: Command) -> None:
    said = unlesion("methods", "--json")
    rows = {row["name"]: row for row in json.loads(said.out)}
    assert {"intensity", "atlas", "ae", "vae", "cevae", "dae"} <= set(rows)
    for row in rows.values():
        if row["family"] == "test":
            continue
        assert row["citation"]
        for preset in ("tiny", "cpu", "gpu", "paper"):
            facts = row["presets"][preset]
            assert set(facts) == {"parameters", "parts", "image_size", "batch"}
            assert sum(facts["parts"].values()) == facts["parameters"]
    one = unlesion("methods", "vae")
    assert "cpu: 64 pixels, batches of 32" in one.out and "encoder " in one.out and one.code == 0
    assert unlesion("methods", "vea").code == 2
    said = unlesion("methods")
    assert (
        "\nra (adversarial): Reversed autoencoder\n    38,401 / 462,241 / 8,150,657 / 29,430,785 parameters\n"
        in said.out
    )
    assert max(len(line) for line in said.out.splitlines()) <= 120


def test_the_package_is_the_command_too() -> None:
    said = subprocess.run([sys.executable, "-m", "unlesion", "--version"], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert said.stdout.strip() == __version__


def test_doctor_finds_a_broken_scan(unlesion: Command, trained: Path, pictures: Path, tmp_path: Path) -> None:
    assert unlesion("doctor", trained).code == 0
    assert unlesion("doctor", pictures).code == 0
    folder = tmp_path / "scans"
    folder.mkdir()
    (folder / "bad.png").write_bytes(b"")
    said = unlesion("doctor", folder, "--json")
    assert said.code == 2
    assert json.loads(said.out)[0]["level"] == "error"


def test_report_can_be_made_again(unlesion: Command, trained: Path) -> None:
    (trained / "report.html").unlink()
    said = unlesion("report", trained)
    assert said.code == 0
    page = (trained / "report.html").read_text()
    assert "not a medical device" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    said = unlesion("report", trained, "--quiet")
    assert (said.code, said.out) == (0, "")


def test_a_scan_unlike_those_of_the_training_is_warned_of(
    unlesion: Command, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    pixels = np.asarray(Image.open(pictures.parent / "s12.png"))
    turned = np.where(pixels > 0, 255 - pixels, 0).astype(np.uint8)
    Image.fromarray(turned).save(tmp_path / "inverted.png")
    shutil.copy(pictures.parent / "s12.png", tmp_path / "plain.png")
    assert unlesion("detect", trained, tmp_path, "--out", tmp_path / "out", "--jobs", 1).code == 0
    said = {
        name: " ".join(json.loads((tmp_path / "out" / name / "detection.json").read_text())["warnings"])
        for name in ("inverted", "plain")
    }
    assert "contrast unlike the training scans" in said["inverted"]
    assert "contrast unlike" not in said["plain"]


@pytest.mark.slow
def test_several_processes_find_what_one_does(
    unlesion: Command, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    for jobs in (1, 2):
        words = (pictures, "--where", "split=test", "--out", tmp_path / f"d{jobs}", "--jobs", jobs)
        assert unlesion("detect", trained, *words).code == 0
        words = (pictures, "--split", "test", "--out", tmp_path / f"e{jobs}", "--jobs", jobs)
        assert unlesion("evaluate", trained, *words).code == 0
    maps = sorted(path.relative_to(tmp_path / "d1") for path in (tmp_path / "d1").rglob("anomaly.npy"))
    assert len(maps) == 6
    for path in maps:
        assert (tmp_path / "d1" / path).read_bytes() == (tmp_path / "d2" / path).read_bytes()
    for name in ("scans.csv", "curves.json"):
        assert (tmp_path / "e1" / name).read_bytes() == (tmp_path / "e2" / name).read_bytes()
