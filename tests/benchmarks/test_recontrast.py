"""The script that shows test scans under another contrast."""

from __future__ import annotations

import csv
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from tests.benchmarks.scripts import script
from unlesion.errors import BadInput
from unlesion.scans import Cohort

KINDS = ("monotone", "inverted", "non-monotone")
COLUMNS = ["path", "mask_path", "twin_path", "subject", "scan", "modality", "label", "split", "contrast"]


recontrast = script("recontrast")


def write_image(path: Path, image: np.ndarray) -> str:
    if path.suffix == ".png":
        Image.fromarray(image.astype(np.uint8)).save(path)
    else:
        nib.save(nib.Nifti1Image(image.astype(np.int16)[..., None].repeat(3, -1), np.eye(4)), path)
    return path.name


def write_cohort(folder: Path, ending: str) -> Path:
    """For each split a subject whose healthy scan is the twin of one with a lesion."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    rows = []
    for subject in ("train", "val", "test"):
        healthy = np.zeros((32, 40))
        healthy[4:28, 4:36] = rng.integers(20, 200, (24, 32))
        mask = np.zeros_like(healthy)
        mask[10:16, 10:16] = 1
        row = {"subject": subject, "split": subject, "modality": "T1"}
        path = write_image(folder / f"{subject}{ending}", healthy)
        rows.append({**row, "path": path, "scan": subject, "label": "healthy"})
        if subject == "train":
            continue
        rows.append(
            {
                **row,
                "path": write_image(folder / f"{subject}_sick{ending}", np.where(mask, 30, healthy)),
                "mask_path": write_image(folder / f"{subject}_mask{ending}", mask * 255),
                "twin_path": path,
                "scan": f"{subject}_sick",
                "label": "anomalous",
                "contrast": "-0.5",
            }
        )
    with (folder / "manifest.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return folder / "manifest.csv"


def by_scan(cohort: Cohort) -> dict[str, object]:
    return {entry.scan_id: entry for entry in cohort}


@pytest.mark.parametrize("ending", [".png", ".nii.gz"])
@pytest.mark.parametrize("kind", KINDS)
def test_scan_and_twin_are_mapped_alike_and_nothing_else_is(tmp_path: Path, kind: str, ending: str) -> None:
    old = Cohort.open(write_cohort(tmp_path / "old", ending))
    new = Cohort.open(recontrast.write_cohort(old, tmp_path / "new", kind=kind))
    before, after = by_scan(old), by_scan(new)
    assert before.keys() == after.keys()
    for name in ("train", "val"):
        assert after[name].columns["path"] == before[name].columns["path"]
        assert np.array_equal(after[name].read().voxels, before[name].read().voxels)
        assert after[name].modality == ("T1",)
    for name in ("test_sick", "val_sick"):
        was, now = before[name].read(), after[name].read()
        assert np.array_equal(now.lesions, was.lesions)
        assert now.modality == (f"T1-{kind}",)
        # Equal where they were equal, so that the twin is still the truth; different in the lesion.
        same = was.voxels == was.twin
        assert np.array_equal(now.voxels[same], now.twin[same])
        assert (now.voxels[~same] != now.twin[~same]).mean() > 0.95
        # One value becomes one value, whatever its place, and the background stays at 0.
        assert not now.voxels[was.voxels == 0].any()
        for value in np.unique(was.twin):
            assert len(np.unique(now.twin[was.twin == value])) == 1
        # Nothing is lost: as many grey values as before, but for turns of the map.
        assert len(np.unique(now.twin)) > 0.9 * len(np.unique(was.twin))
        row = after[name].columns
        assert (row["contrast_before"], row["contrast"]) == ("-0.5", "")
        lesion = now.lesions[None]
        measured = (now.voxels - now.twin)[lesion].mean() / now.twin[was.twin != 0].std()
        assert float(row["contrast_sd"]) == pytest.approx(measured, abs=2e-3)
    # The healthy scan of a test subject is the twin of its lesions, mapped as they are.
    assert np.array_equal(after["test"].read().voxels, after["test_sick"].read().twin)


def test_the_seed_decides_and_subjects_differ(tmp_path: Path) -> None:
    old = Cohort.open(write_cohort(tmp_path / "old", ".png"))

    def images(out: str, seed: int) -> dict[str, np.ndarray]:
        path = recontrast.write_cohort(old, tmp_path / out, kind="non-monotone", seed=seed)
        return {entry.scan_id: entry.read().voxels for entry in Cohort.open(path)}

    one, again, other = images("a", 0), images("b", 0), images("c", 1)
    assert all(np.array_equal(one[name], again[name]) for name in one)
    assert not np.array_equal(one["test"], other["test"])
    maps = recontrast.Recontrast("monotone", seed=0, entries=list(old))
    ramp = np.linspace(0, 1, 50, dtype=np.float32)
    assert not np.allclose(maps.map_of("test")(ramp), maps.map_of("val")(ramp), atol=1e-3)


@pytest.mark.parametrize("seed", range(20))
def test_order_of_grey_values(seed: int) -> None:
    ramp = np.linspace(0, 1.5, 601, dtype=np.float32)
    change = {
        kind: np.diff(make(np.random.default_rng(seed))(ramp)) for kind, make in recontrast.KINDS.items()
    }
    assert (change["monotone"] > 0).all()
    assert (change["inverted"] <= 0).all() and change["inverted"].sum() < -0.5
    # Both ways, and by more than rounding, between fluid and white matter.
    tissue = change["non-monotone"][ramp[:-1] < 1.0]
    assert tissue[tissue > 0].sum() > 0.02 and tissue[tissue < 0].sum() < -0.02
    curve = recontrast.rising(np.random.default_rng(seed))
    assert curve(np.array([0.0, 1.0], np.float32)) == pytest.approx([0.0, 1.0], abs=1e-5)


def test_values_stay_within_what_files_hold() -> None:
    ramp = np.linspace(0, 3, 301, dtype=np.float32)
    for seed in range(50):
        for make in recontrast.KINDS.values():
            out = make(np.random.default_rng(seed))(ramp)
            assert out.min() >= 0.0 and recontrast.PICTURE_UNIT * out.max() < 65535


def test_a_cohort_without_a_test(tmp_path: Path) -> None:
    manifest = write_cohort(tmp_path / "old", ".png")
    with pytest.raises(BadInput, match="split 'test'"):
        recontrast.write_cohort(
            Cohort.open(manifest, where=["subject=train"]), tmp_path / "new", kind="monotone"
        )
    with pytest.raises(BadInput, match="another folder"):
        recontrast.write_cohort(Cohort.open(manifest), tmp_path / "old", kind="monotone")
