from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from tests.cohorts import write_pictures
from unlesion.errors import BadInput
from unlesion.evaluation import Evaluator, calibrate_maps, read_maps_folder
from unlesion.scans import Cohort


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
    calibration = calibrate_maps(maps, cohort)
    assert calibration is not None and calibration.n_subjects == 3
    evaluator = Evaluator(calibrations={"native": calibration})
    for scan in found:
        evaluator.add(scan)
    metrics = evaluator.finish().metrics
    assert metrics["voxel"]["ap"].value > 0.9
    assert metrics["image"]["auroc"].value is not None
    assert metrics["voxel"]["ap_raw"].value is None and "post-processing" in metrics["voxel"]["ap_raw"].why


def test_missing_maps_are_counted(tmp_path: Path, cohort: Cohort) -> None:
    chosen = cohort.select(split="test")
    maps = write_maps(tmp_path / "maps", chosen)
    (maps / chosen.entries[2].key / "anomaly.npy").unlink()
    folder = read_maps_folder(maps, chosen)
    assert folder.missing == [chosen.entries[2].key]
    assert len(folder) == len(list(folder)) == 5
    assert calibrate_maps(maps, cohort) is None


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
    assert len(list(read_maps_folder(maps, chosen, on_problem=problems.append))) == 5
    assert len(problems) == 1


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
