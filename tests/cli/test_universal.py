"""One model for brain slices and chest X-rays, from the command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Command
from tests.cohorts import draw_chest, draw_head
from unlesion.detector import Detector
from unlesion.prepare import PreparedStore, load_recipe
from unlesion.scans import Cohort

FIELDS = ("path", "subject", "modality", "label", "split")


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of six healthy persons of each kind for training, three for `val`, two for `test`."""
    folder = tmp_path_factory.mktemp("mixed")
    rng = np.random.default_rng(0)
    rows = []
    for kind in ("T1", "CXR"):
        for number, split in enumerate(["train"] * 6 + ["val"] * 3 + ["test"] * 2):
            name = f"{kind}-{number}"
            image = draw_head(rng)[0] if kind == "T1" else draw_chest(rng)
            Image.fromarray(image).save(folder / f"{name}.png")
            rows.append(
                {"path": f"{name}.png", "subject": name, "modality": kind, "label": "healthy", "split": split}
            )
    return write_manifest(folder / "manifest.csv", rows)


def write_manifest(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, FIELDS)
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_train_and_detect_on_both_kinds(unlesion: Command, mixed: Path, tmp_path: Path) -> None:
    store, run, out = (tmp_path / name for name in ("store", "run", "out"))
    said = unlesion(
        "prepare", mixed, "--where", "label=healthy", "--set", "recipe.size=32", "--out", store, "--jobs", 1
    )
    assert said.code == 0 and "universal" in said.out + said.err
    for words in ((mixed, run), (store, tmp_path / "from-store")):
        said = unlesion(
            "train", words[0], "--method", "vae", "--preset", "tiny", "--set", "method.condition=true", "--steps",
            60, "--device", "cpu", "--jobs", 1, "--out", words[1],
        )  # fmt: skip
        assert said.code == 0, said.err
    saved = json.loads((run / "detector.json").read_text())
    assert saved["recipe"]["name"] == "universal" and saved["input"]["conditions"] == ["CXR", "T1"]
    assert saved["recipe"]["digest"] == load_recipe("universal", {"size": 32}).digest
    assert saved["method"]["config"]["condition"] is True
    assert "CXR, T1" in (run / "report.html").read_text()
    said = unlesion("detect", run, mixed, "--where", "split=test", "--out", out, "--jobs", 1)
    assert said.code == 0, said.err
    for name in ("T1-10", "CXR-10"):
        found = json.loads((out / name / "detection.json").read_text())
        assert not [w for w in found["warnings"] if "modality" in w or "field of view" in w]
    # A lung is drawn as dark as it is, brighter than it only where the body is.
    image = np.asarray(Image.open(mixed.parent / "CXR-10.png"), dtype=float)
    healthy = np.load(out / "CXR-10" / "healthy.npy")
    assert np.corrcoef(image[4:-4, 8:-8].ravel(), healthy[4:-4, 8:-8].ravel())[0, 1] > 0.5
    said = unlesion("evaluate", run, mixed, "--split", "test", "--out", tmp_path / "measured", "--jobs", 1)
    assert said.code == 0, said.err
    check_each_kind_has_its_own_thresholds(unlesion, saved, run, mixed, out, tmp_path)
    detector, other = Detector.load(run), Detector.load(tmp_path / "from-store")
    assert detector.method.spec.conditions == other.method.spec.conditions == ("CXR", "T1")
    check_each_kind_has_its_own_steps(detector, mixed, PreparedStore.open(store))
    check_unseen_modality(unlesion, run, mixed, tmp_path)


def check_each_kind_has_its_own_thresholds(
    unlesion: Command, saved: dict[str, Any], run: Path, mixed: Path, out: Path, folder: Path
) -> None:
    """As if the run had been calibrated on that modality alone, without anybody asking for it."""
    parts = saved["calibration"]["native"]["parts"]
    assert {name: part["n_subjects"] for name, part in parts.items()} == {"T1": 3, "CXR": 3}
    assert parts["T1"]["thresholds"] != parts["CXR"]["thresholds"]
    for kind in ("T1", "CXR"):
        found = json.loads((out / f"{kind}-10" / "detection.json").read_text())
        assert found["threshold"] == parts[kind]["thresholds"]["fpr_001"]
        assert found["p_value"] >= 1 / 4
        only, again = folder / f"only-{kind}", folder / f"again-{kind}"
        chosen = ("--where", f"modality={kind}", "--where", "split=val")
        said = unlesion("calibrate", run, mixed, *chosen, "--out", only, "--jobs", 1)
        assert said.code == 0, said.err
        alone = json.loads((only / "detector.json").read_text())["calibration"]["native"]
        assert alone["thresholds"] == parts[kind]["thresholds"] and "parts" not in alone
        said = unlesion(
            "evaluate",
            run,
            mixed,
            "--split",
            "test",
            "--where",
            f"modality={kind}",
            "--out",
            again,
            "--jobs",
            1,
        )
        assert said.code == 0, said.err
        used = json.loads((again / "metrics.json").read_text())["calibration"]["native"]
        assert used["thresholds"] == parts[kind]["thresholds"] and used["subjects"] == 3
    # All six subjects allow 0.15, the three of each kind do not: nothing is flagged, and the map is there.
    said = unlesion(
        "detect", run, mixed, "--where", "split=test", "--alpha", 0.15, "--out", folder / "a", "--jobs", 1
    )
    assert said.code == 0, said.err
    found = json.loads((folder / "a" / "T1-10" / "detection.json").read_text())
    assert found["flagged"] is None and any(
        "no p-value can be below 1/4" in words for words in found["warnings"]
    )
    both = json.loads((folder / "measured" / "metrics.json").read_text())["calibration"]["native"]
    assert set(both["parts"]) == {"T1", "CXR"} and both["subjects"] == 6
    page = (run / "report.html").read_text()
    assert (
        "CXR on 3 healthy subjects (no p-value below 1/4" in page
        and "Every modality has a scale of its own" in page
    )
    assert "CXR on 3 healthy subjects" in (out / "report.html").read_text()
    # One of them calibrated alone: the user is told, and so is everybody who looks at a scan of the other.
    only = folder / "only-CXR"
    said = unlesion(
        "detect", only, mixed, "--where", "subject=T1-10", "--out", folder / "foreign", "--jobs", 1
    )
    assert said.code == 0, said.err
    found = json.loads((folder / "foreign" / "T1-10" / "detection.json").read_text())
    assert any("no healthy T1 scan calibrated this run, only CXR" in words for words in found["warnings"])
    said = unlesion(
        "calibrate",
        run,
        mixed,
        "--where",
        "modality=T1",
        "--where",
        "split=train",
        "--set",
        "scoring.post.median_mm=9",
        "--out",
        folder / "t",
        "--jobs",
        1,
    )
    assert (
        said.code == 0
        and "CXR: not calibrated any more" in said.err
        and "6 of 6 scans are among those that the run learnt from" in said.err
    )
    # What a terminal breaks into lines is whole here.
    assert "of CXR, the fewest of 2 modalities" in unlesion("doctor", run, "--json").out


def check_each_kind_has_its_own_steps(detector: Detector, mixed: Path, store: PreparedStore) -> None:
    assert detector.assumed_width_mm(("CXR",)) == 350.0 and detector.assumed_width_mm(("T1",)) == 240.0
    cohort = Cohort.open(mixed)
    keys = [row["key"] for row in store.scans]
    for kind, alone in (("T1", "slices"), ("CXR", "xray")):
        entry = next(entry for entry in cohort if entry.modality == (kind,))
        expected = load_recipe(alone, {"size": 32}).prepare(entry.read())
        found = detector.prepare(entry.read())
        assert np.array_equal(found.images, expected.images)
        stored = store.images[store.slices_of(keys.index(entry.key))]
        assert np.array_equal(stored, expected.images.astype(np.float16))


def check_unseen_modality(unlesion: Command, run: Path, mixed: Path, folder: Path) -> None:
    rows = [
        {"path": f"{name}.png", "subject": name, "modality": kind, "label": "healthy", "split": "test"}
        for name, kind in (("T1-10", "PET"), ("T1-9", "t1"))
    ]
    manifest = write_manifest(mixed.parent / "other.csv", rows)
    said = unlesion("detect", run, manifest, "--out", folder / "out-of-unseen", "--jobs", 1)
    assert said.code == 2
    words = [line for line in said.err.splitlines() if "PET" in line]
    assert len(words) == 1 and "(CXR, T1)" in words[0], said.err
    # The other scan went on.
    assert len(list((folder / "out-of-unseen").rglob("detection.json"))) == 1


def test_without_condition_a_mixed_cohort_is_learnt_too(
    unlesion: Command, mixed: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    said = unlesion(
        "train", mixed, "--method", "dae", "--preset", "tiny", "--steps", 2, "--jobs", 1, "--out", run
    )
    assert said.code == 0 and "universal" in said.out + said.err
    path = run / "detector.json"
    saved = json.loads(path.read_text())
    assert "condition" not in saved["method"]["config"]
    assert Detector.load(run).method.spec.conditions == ("CXR", "T1")
    # A run of before conditions came.
    del saved["input"]["conditions"]
    path.write_text(json.dumps(saved))
    assert Detector.load(run).method.spec.conditions == ()
