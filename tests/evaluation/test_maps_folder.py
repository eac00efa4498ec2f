from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from tests.cohorts import write_pictures
from unlesion.errors import BadInput
from unlesion.evaluating import evaluate_maps
from unlesion.evaluation import Evaluator, calibrate_maps, read_maps_folder
from unlesion.prepare import load_recipe, prepare_cohort, store_cohort
from unlesion.scans import Cohort, Entry, Scan
from unlesion.sweep import Failures


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    return Cohort.open(write_pictures(tmp_path / "cohort", train=2, val=3))


def write_maps(folder: Path, cohort: Cohort) -> Path:
    """Maps that are the intensity, 0 to 1."""
    for entry in cohort:
        place = folder / entry.key
        place.mkdir(parents=True)
        np.save(place / "anomaly.npy", entry.read().voxels[0, ..., 0] / 255)
    return folder


def test_pictures(tmp_path: Path, cohort: Cohort) -> None:
    maps = write_maps(tmp_path / "maps", cohort)
    chosen = cohort.select(split="test")
    place = maps / chosen.entries[0].key
    (place / "detection.json").write_text(json.dumps({"score": 0.25, "p_value": 0.5}))
    np.save(place / "healthy.npy", np.zeros((48, 48), np.float32))
    np.save(place / "lesions.npy", np.ones((48, 48), np.uint8))
    found = list(read_maps_folder(maps, chosen))
    assert [scan.key for scan in found] == [entry.key for entry in chosen]
    assert found[0].maps["native"][2] == 0.25 and found[0].p_value == 0.5
    assert found[0].healthy is not None and found[0].predicted is not None
    assert found[1].maps["native"][1:] == (None, None) and found[1].healthy is None
    # No roi came with the pictures: the head on black, with the holes that noise made.
    assert 0.3 < found[0].roi.mean() < 0.6
    calibrations = calibrate_maps(maps, cohort)
    assert set(calibrations) == {"native"} and calibrations["native"].n_subjects == 3
    assert calibrations["native"].modalities == ("T1",)
    evaluator = Evaluator(calibrations=calibrations)
    for scan in found:
        evaluator.add(scan)
    metrics = evaluator.finish().metrics
    assert metrics["voxel"]["ap"].value > 0.9
    assert metrics["image"]["auroc"].value is not None
    assert metrics["voxel"]["ap_raw"].value is None and "post-processing" in metrics["voxel"]["ap_raw"].why


def test_a_healthy_row_with_a_marked_lesion_calibrates_nothing(tmp_path: Path, cohort: Cohort) -> None:
    maps = write_maps(tmp_path / "maps", cohort)
    sick = next(entry for entry in cohort if entry.label == "anomalous")
    wrong = replace(sick, label="healthy", split="val")
    told: list[str] = []
    entries = tuple(wrong if entry is sick else entry for entry in cohort)
    found = calibrate_maps(maps, replace(cohort, entries=entries), failures=Failures(told.append))
    assert found["native"].n_subjects == 3
    (words,) = told
    assert words.startswith(f"left out of the calibration: {sick.key}: labelled healthy, but its mask marks")


def test_a_lesion_too_small_for_a_store_calibrates_nothing(tmp_path: Path) -> None:
    cohort = Cohort.open(write_pictures(tmp_path / "cohort", train=0, val=2, healthy=0, anomalous=1))
    sick = cohort[2]
    assert sick.mask_path is not None
    dot = np.zeros((48, 48), np.uint8)
    dot[24, 24] = 255
    Image.fromarray(dot).save(sick.mask_path)
    cohort = replace(cohort, entries=(*cohort.entries[:2], replace(sick, label="healthy", split="val")))
    prepare_cohort(cohort, load_recipe("slices", {"size": 16}), tmp_path / "store")
    stored = store_cohort(tmp_path / "store")
    told: list[str] = []
    found = calibrate_maps(write_maps(tmp_path / "maps", stored), stored, failures=Failures(told.append))
    assert found["native"].n_subjects == 2
    (words,) = told
    assert words.startswith(f"left out of the calibration: {sick.key}: labelled healthy, but its mask marks")


def test_nothing_is_made_up(tmp_path: Path, cohort: Cohort) -> None:
    chosen = cohort.select(split="test")
    maps = write_maps(tmp_path / "maps", chosen)

    def flagged_if_said(**said: object) -> tuple[dict[str, object], dict[str, object]]:
        for entry in chosen:
            (maps / entry.key / "detection.json").write_text(json.dumps({"p_value": 0.01, **said}))
        evaluator = Evaluator()
        for scan in read_maps_folder(maps, chosen):
            assert evaluator.add(scan)["p_value"] == 0.01
        metrics = evaluator.finish().metrics
        return metrics, metrics["image"]["flagged"]["anomalous"]

    # A p-value alone flags nothing: nobody chose an alpha.
    metrics, flagged = flagged_if_said()
    assert flagged.value is None and "nothing says which scans to flag" in flagged.why
    assert "alpha" not in flagged.extra and metrics["sign"] is None
    metrics, flagged = flagged_if_said(flagged=True, alpha=0.02, sign="bright")
    assert flagged.value == 1 and flagged.extra["alpha"] == 0.02 and metrics["sign"] == "bright"
    (maps / chosen.entries[0].key / "detection.json").write_text('{"flagged": true, "alpha": 0.2}')
    evaluator = Evaluator()
    for scan in read_maps_folder(maps, chosen):
        evaluator.add(scan)
    metrics = evaluator.finish().metrics
    assert "0.02, 0.2" in metrics["image"]["flagged"]["healthy"].why and metrics["sign"] is None


def test_healthy_images_give_the_shared_scoring(tmp_path: Path, cohort: Cohort) -> None:
    chosen = cohort.select(split="test")
    maps = write_maps(tmp_path / "maps", chosen)
    for entry in chosen:
        image = entry.read().voxels[0, ..., 0]
        np.save(maps / entry.key / "healthy.npy", np.minimum(image, 130).astype(np.float32))
    folder = read_maps_folder(maps, chosen)
    assert folder.undrawn == []
    evaluator = Evaluator()
    for scan in folder:
        evaluator.add(scan)
        raw = scan.maps["shared"][1]
        assert raw is not None
        if scan.label == "anomalous":
            # |scan - healthy| is what was cut off above 130, in units of the scan's own range.
            inside = scan.image[0][scan.roi]
            low, high = np.percentile(inside, [1, 99])
            wanted = np.maximum(scan.image[0] - 130, 0) / (high - low) * scan.roi
            np.testing.assert_allclose(raw, wanted, atol=1e-5)
    metrics = evaluator.finish().metrics
    assert metrics["shared"]["voxel"]["ap"].value > 0.8
    assert metrics["shared"]["voxel"]["ap_raw"].value > 0.8
    (maps / chosen.entries[0].key / "healthy.npy").unlink()
    folder = read_maps_folder(maps, chosen)
    assert folder.undrawn == [chosen.entries[0].key]
    assert all(set(scan.maps) == {"native"} for scan in folder)


def test_missing_maps_are_counted(tmp_path: Path, cohort: Cohort) -> None:
    chosen = cohort.select(split="test")
    maps = write_maps(tmp_path / "maps", chosen)
    (maps / chosen.entries[2].key / "anomaly.npy").unlink()
    folder = read_maps_folder(maps, chosen)
    assert folder.missing == [chosen.entries[2].key]
    assert len(folder) == len(list(folder)) == 5
    assert calibrate_maps(maps, cohort) == {}


def test_no_maps_at_all(tmp_path: Path, cohort: Cohort) -> None:
    with pytest.raises(BadInput, match="no such folder"):
        read_maps_folder(tmp_path / "nowhere", cohort)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=r"no map for any of the 11 scans.*anomaly\.nii\.gz"):
        read_maps_folder(tmp_path / "empty", cohort)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (np.zeros((40, 48), np.float32), "resample"),
        (np.full((48, 48), np.nan, np.float32), "finite"),
    ],
)
def test_bad_maps(tmp_path: Path, cohort: Cohort, content: np.ndarray, said: str) -> None:
    chosen = cohort.select(split="test")
    maps = write_maps(tmp_path / "maps", chosen)
    bad = maps / chosen.entries[1].key / "anomaly.npy"
    np.save(bad, content)
    with pytest.raises(BadInput, match=said) as caught:
        list(read_maps_folder(maps, chosen))
    assert str(bad) in str(caught.value)
    problems: list[str] = []
    assert len(list(read_maps_folder(maps, chosen, failures=Failures(problems.append)))) == 5
    assert len(problems) == 1


def test_a_fault_of_ours_costs_one_map(
    tmp_path: Path, cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = cohort.select(split="test")
    maps, key = write_maps(tmp_path / "maps", chosen), chosen.entries[1].key
    real = Entry.read

    def fragile(self: Entry) -> Scan:
        if self.key == key:
            raise ZeroDivisionError("oops")
        return real(self)

    monkeypatch.setattr(Entry, "read", fragile)
    problems: list[str] = []
    assert len(list(read_maps_folder(maps, chosen, failures=Failures(problems.append)))) == 5
    assert problems == [f"{key}: a failure of ours: ZeroDivisionError: oops"]


def test_volumes_in_their_own_axes(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    voxels = generator.random((20, 24, 18)).astype(np.float32) + 1
    voxels[:3] = 0
    affine = np.asarray([[0, 0, 2.0, 5], [-1.5, 0, 0, 3], [0, 1.0, 0, -9], [0, 0, 0, 1]])
    (tmp_path / "scans").mkdir()
    nibabel.save(nibabel.Nifti1Image(voxels, affine), tmp_path / "scans" / "x.nii.gz")
    place = tmp_path / "maps" / "x"
    place.mkdir(parents=True)
    nibabel.save(nibabel.Nifti1Image(2 * voxels, affine), place / "anomaly.nii.gz")
    cohort = Cohort.open(tmp_path / "scans")
    (found,) = list(read_maps_folder(tmp_path / "maps", cohort))
    scan = cohort.entries[0].read()
    np.testing.assert_allclose(found.maps["native"][0], 2 * scan.voxels[0])
    np.testing.assert_array_equal(found.roi, scan.voxels[0] > 0)
    assert found.spacing == pytest.approx(scan.grid.spacing)
    moved = affine.copy()
    moved[0, 3] += 1
    nibabel.save(nibabel.Nifti1Image(2 * voxels, moved), place / "anomaly.nii.gz")
    with pytest.raises(BadInput, match="affine"):
        list(read_maps_folder(tmp_path / "maps", cohort))


def test_scores_of_some_are_used_for_nobody(tmp_path: Path, cohort: Cohort) -> None:
    maps = write_maps(tmp_path / "maps", cohort)
    chosen = cohort.select(split="test")
    for entry in chosen:
        (maps / entry.key / "detection.json").write_text(json.dumps({"score": 900.0}))
    told: list[str] = []
    evaluation, _ = evaluate_maps(maps, cohort, chosen, tmp_path / "out", warn=told.append)
    assert any("with a score in detection.json" in words for words in told)
    assert max(row["score"] for row in evaluation.rows) < 2
    assert {row["flagged"] for row in evaluation.rows} == {None}
    for number, entry in enumerate(cohort.select(split="val")):
        said = {"score": 1.0, "run": f"run-{number % 2}"}
        (maps / entry.key / "detection.json").write_text(json.dumps(said))
    evaluation, _ = evaluate_maps(maps, cohort, chosen, tmp_path / "again", warn=told.append)
    assert "of several runs (run-0, run-1)" in told[-1]
    assert {row["score"] for row in evaluation.rows} == {900.0}


def test_those_who_calibrate_are_no_test(tmp_path: Path, cohort: Cohort) -> None:
    maps = write_maps(tmp_path / "maps", cohort)
    told: list[str] = []
    seen: list[object] = []
    evaluate_maps(
        maps,
        cohort,
        cohort.select(split="val"),
        tmp_path / "out",
        warn=told.append,
        on_calibrated=seen.append,
    )
    assert any(
        "calibrated the thresholds and p-values that they are measured with" in words for words in told
    )
    assert len(seen) == 1
