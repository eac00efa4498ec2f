"""Volumes in any axis order, slanted ones too, through every step of the command line and of the API."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from unlesion import Cohort, Detector, read_scan, train
from unlesion.cli.app import run
from unlesion.phantom import write_cohort

# How subjects' files are laid out, going round: as they come, other axis orders, slanted.
ORDERS = ("RAS", "LPS", "PIR", "SAL", "ASR")
ANGLE = np.deg2rad(12)
SLANT = np.array(
    [
        [np.cos(ANGLE), -np.sin(ANGLE), 0, 5],
        [np.sin(ANGLE), np.cos(ANGLE), 0, -7],
        [0, 0, 1, 3],
        [0, 0, 0, 1],
    ]
)


def reoriented(path: Path, number: int) -> None:
    """Rewrite a file in another axis order; every second one slanted."""
    image = nibabel.load(path)
    start = nibabel.orientations.io_orientation(image.affine)
    wanted = nibabel.orientations.axcodes2ornt(ORDERS[number % len(ORDERS)])
    turned = image.as_reoriented(nibabel.orientations.ornt_transform(start, wanted))
    affine = SLANT @ turned.affine if number % 2 else turned.affine
    data = np.asarray(turned.dataobj)
    other = nibabel.Nifti1Image(data, affine)
    other.header.set_xyzt_units("mm")
    path.unlink()
    nibabel.save(other, path)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    manifest = write_cohort(12, tmp_path_factory.mktemp("volumes"), seed=5, spacing_mm=4)
    for path in sorted(manifest.parent.glob("sub-*/*.nii.gz")):
        reoriented(path, int(path.parent.name.removeprefix("sub-")))
    return manifest


def unlesion(*words: object) -> None:
    assert run([str(word) for word in (*words, "--jobs", 1, "--quiet")]) == 0


@pytest.mark.slow
def test_volumes_through_the_command_line(manifest: Path, tmp_path: Path) -> None:
    trained, found, measured = tmp_path / "run", tmp_path / "found", tmp_path / "measured"
    unlesion("train", manifest, "--method", "atlas", "--preset", "tiny", "--out", trained)
    unlesion("detect", trained, manifest, "--where", "split=test", "--out", found)
    unlesion("evaluate", trained, manifest, "--out", measured)

    test = Cohort.open(manifest).select(split="test")
    with (found / "scores.csv").open(newline="") as stream:
        scores = {row["key"]: row for row in csv.DictReader(stream)}
    assert set(scores) == {entry.key for entry in test}
    shapes, slanted = set(), 0
    for entry in test:
        given = nibabel.load(entry.paths[0])
        shapes.add(nibabel.aff2axcodes(given.affine))
        slanted += int((np.abs(given.affine[:3, :3]) > 1e-3).sum() > 3)
        for name in ("anomaly", "healthy", "lesions"):
            written = nibabel.load(found / entry.key / f"{name}.nii.gz")
            assert written.shape == given.shape, name
            np.testing.assert_allclose(written.affine, given.affine, atol=1e-4)
        assert float(scores[entry.key]["volume_ml"]) >= 0
    assert len(shapes) > 2
    assert slanted

    metrics = json.loads((measured / "metrics.json").read_text())
    assert np.isfinite(metrics["twin"]["gain"]["value"])
    assert metrics["voxel"]["ap"]["value"] > metrics["voxel"]["prevalence"]["value"]

    detector = Detector.load(trained)
    for entry in test:
        # The key is the scan's name wherever it is read from: a file by itself has only its own.
        detection = detector.detect(read_scan(entry.paths[0], roi=entry.roi_path))
        scan = read_scan(entry.paths[0])
        for name, array in (("anomaly", detection.anomaly), ("lesions", detection.lesions)):
            written = read_scan(found / entry.key / f"{name}.nii.gz") if array.any() else None
            if written is None:
                continue
            np.testing.assert_allclose(written.voxels[0], array, atol=1e-5)
        assert detection.healthy is not None
        healthy = read_scan(found / entry.key / "healthy.nii.gz")
        np.testing.assert_allclose(healthy.voxels, detection.healthy, rtol=1e-4, atol=1e-2)
        assert healthy.voxels.shape == scan.voxels.shape
        assert detection.score == pytest.approx(float(scores[entry.key]["score"]), rel=1e-5)
        assert detection.volume_ml == pytest.approx(float(scores[entry.key]["volume_ml"]))


@pytest.mark.slow
def test_the_api_learns_the_same(manifest: Path, tmp_path: Path) -> None:
    made = train(manifest, method="atlas", preset="tiny", out=tmp_path / "run")
    entry = Cohort.open(manifest).select(split="test", label="anomalous").entries[0]
    scan = read_scan(entry.paths[0])
    again = Detector.load(tmp_path / "run").detect(scan)
    np.testing.assert_array_equal(again.anomaly, made.detect(scan).anomaly)
    assert again.anomaly.shape == scan.voxels.shape[1:]
