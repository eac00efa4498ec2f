"""A folder of DICOM and a BIDS dataset, through every verb that takes a cohort."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest

from tests.bids import describe, participants
from tests.cli.conftest import Command
from tests.dicoms import from_nifti, head, save, series_of, slice_file
from unlesion.cli.app import run
from unlesion.phantom import write_cohort
from unlesion.scans import Cohort, read_scan

# Registration to a template is not what is tested here, and takes most of the time.
QUICK = ("--set", "recipe.align.how=centre", "--set", "recipe.size=32")


@pytest.fixture(scope="module")
def virtual(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """A virtual cohort of coarse volumes; the anomalous come last."""
    return Cohort.open(write_cohort(8, tmp_path_factory.mktemp("virtual"), seed=3, spacing_mm=4))


@pytest.fixture(scope="module")
def archive(virtual: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The healthy of it as DICOM, a folder a patient and a series, with a localiser each."""
    root = tmp_path_factory.mktemp("archive")
    for number, entry in enumerate(virtual.select(label="healthy")):
        patient = f"P{number:03d}"
        options = {"patient": patient, "description": "t2_flair_sag", "study": patient}
        from_nifti(entry.paths[0], root / patient / "flair", **options)
        scout = series_of(head(3), series="scout", number=9, description="localizer", patient=patient)
        save(scout, root / patient / "scout")
    return root


@pytest.fixture(scope="module")
def dataset(virtual: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of it as BIDS, lesion masks among the derivatives."""
    root = describe(tmp_path_factory.mktemp("dataset"), name="virtual")
    masks = describe(root / "derivatives" / "lesions", DatasetType="derivative", GeneratedBy=[{"Name": "x"}])
    for number, entry in enumerate(virtual, start=1):
        name = f"sub-{number:02d}"
        for source, place in (
            (entry.paths[0], root / name / "anat" / f"{name}_FLAIR.nii.gz"),
            (entry.mask_path, masks / name / "anat" / f"{name}_label-lesion_mask.nii.gz"),
        ):
            if source is not None:
                place.parent.mkdir(parents=True)
                shutil.copy(source, place)
    participants(
        root,
        age=[str(40 + number) for number in range(len(virtual))],
        sex=["F", "M"] * (len(virtual) // 2),
        split=[entry.split or "" for entry in virtual],
    )
    return root


@pytest.fixture(scope="module")
def learnt(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("learnt") / "run"
    words = ["train", archive, "--method", "intensity", "--preset", "tiny", *QUICK, "--out", out, "--jobs", 1]
    assert run([str(word) for word in words]) == 0
    return out


def rows_of(out: Path) -> dict[str, dict[str, str]]:
    with (out / "scores.csv").open(newline="") as stream:
        return {row["key"]: row for row in csv.DictReader(stream)}


@pytest.mark.slow
def test_detect_on_series(unlesion: Command, learnt: Path, archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "found"
    said = unlesion("detect", learnt, archive, "--where", "subject=P000,P001", "--out", out, "--jobs", 1)
    assert said.code == 0, said.err
    assert "localiser" in said.err and "guessed" in said.err
    rows = rows_of(out)
    assert set(rows) == {"P000/flair", "P001/flair"}
    assert rows["P000/flair"]["subject"] == "P000"
    scan = read_scan(archive / "P000" / "flair")
    for name in ("anomaly", "lesions"):
        written = nibabel.load(out / "P000" / "flair" / f"{name}.nii.gz")
        assert written.shape == scan.grid.file_shape
        np.testing.assert_allclose(written.affine, scan.grid.header.get_best_affine(), atol=1e-4)
    assert (out / "P000" / "flair" / "preview.png").stat().st_size > 5000
    assert "Secret" not in (out / "scores.csv").read_text() + (out / "unlesion.log").read_text()
    again = unlesion("detect", learnt, archive, "--where", "subject=P000,P001", "--out", out, "--jobs", 1)
    assert "2 of 2 scans done already" in again.err
    seg = unlesion(
        "detect", learnt, archive, "--where", "subject=P000,P001", "--out", out, "--jobs", 1, "--dicom-seg"
    )
    assert seg.code == 0 and "done already" not in seg.err
    for key in rows:
        mask = np.asarray(nibabel.load(out / key / "lesions.nii.gz").dataobj)
        path = out / key / "lesions.dcm"
        assert path.exists() == bool(mask.any())
        if mask.any():
            found = highdicom.seg.segread(path)
            assert int((found.get_volume().array > 0).sum()) == int(mask.sum())
            assert found.PatientID == key[:4]


@pytest.mark.slow
def test_one_series_and_one_in_a_manifest(
    unlesion: Command, learnt: Path, archive: Path, tmp_path: Path
) -> None:
    said = unlesion("detect", learnt, archive / "P002" / "flair", "--out", tmp_path / "a", "--jobs", 1)
    assert said.code == 0, said.err
    manifest = archive / "one.csv"
    manifest.write_text("path,subject,modality\nP002/flair,x,FLAIR\n")
    said = unlesion("detect", learnt, manifest, "--out", tmp_path / "b", "--jobs", 1)
    assert said.code == 0, said.err
    maps = [tmp_path / "a/flair/anomaly.nii.gz", tmp_path / "b/P002/flair/anomaly.nii.gz"]
    one, two = (np.asarray(nibabel.load(path).dataobj) for path in maps)
    np.testing.assert_array_equal(one, two)


@pytest.mark.slow
def test_a_bad_series_is_reported_and_the_others_go_on(
    unlesion: Command, learnt: Path, archive: Path, tmp_path: Path
) -> None:
    root = tmp_path / "archive"
    for name in ("P000", "P001"):
        shutil.copytree(archive / name, root / name)
    (root / "P000" / "flair" / "IM0010").unlink()
    said = unlesion("detect", learnt, root, "--out", tmp_path / "out", "--jobs", 1)
    assert said.code == 2
    assert "1 slice is missing" in said.err
    rows = rows_of(tmp_path / "out")
    assert "missing" in rows["P000/flair"]["problem"]
    assert rows["P001/flair"]["score"]


@pytest.mark.slow
def test_a_tilted_gantry_is_kept_and_warned_of(
    unlesion: Command, learnt: Path, archive: Path, tmp_path: Path
) -> None:
    for number, path in enumerate(sorted((archive / "P000" / "flair").iterdir())):
        data = pydicom.dcmread(path)
        left, back, up = data.ImagePositionPatient
        data.ImagePositionPatient = [left, back + number, up]
        save([data], tmp_path / "tilted", name=path.name)
    said = unlesion("detect", learnt, tmp_path / "tilted", "--out", tmp_path / "out", "--jobs", 1)
    assert said.code == 0, said.err
    (row,) = rows_of(tmp_path / "out").values()
    assert "slant against one another by 14.0 degrees" in row["warnings"]
    written = nibabel.load(tmp_path / "out" / "tilted" / "anomaly.nii.gz")
    step = written.affine[:3, 2]
    np.testing.assert_allclose(np.abs(step), [0, 1, 4], atol=1e-4)


@pytest.mark.slow
def test_radiographs(unlesion: Command, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[-1:1:64j, -1:1:64j]
    for number in range(6):
        pixels = 1000 + 800 * np.exp(-3 * (rows**2 + columns**2)) + rng.normal(0, 30, rows.shape)
        film = slice_file(
            pixels.astype(np.uint16),
            position=None,
            modality="DX",
            patient=f"F{number}",
            PixelSpacing=None,
            ImagerPixelSpacing=[4.0, 4.0],
        )
        save([film], tmp_path / "films", name=f"{number}.dcm")
    trained, out = tmp_path / "run", tmp_path / "out"
    said = unlesion("train", tmp_path / "films", "--method", "intensity", "--out", trained, "--jobs", 1)
    assert said.code == 0, said.err
    assert "recipe 'xray'" in said.err
    said = unlesion("detect", trained, tmp_path / "films" / "3.dcm", "--out", out, "--jobs", 1)
    assert said.code == 0, said.err
    assert rows_of(out)["3"]["subject"] == "F3"
    assert nibabel.load(out / "3" / "anomaly.nii.gz").header.get_zooms()[:2] == (4.0, 4.0)


@pytest.mark.slow
def test_a_network_learns_from_series_by_way_of_a_store(
    unlesion: Command, archive: Path, tmp_path: Path
) -> None:
    store, out = tmp_path / "store", tmp_path / "run"
    said = unlesion("prepare", archive, "--recipe", "brain-mri", *QUICK, "--out", store, "--jobs", 1)
    assert said.code == 0, said.err
    words = ("--method", "dae", "--preset", "tiny", "--steps", 20, "--jobs", 1)
    said = unlesion("train", store, *words, "--out", out)
    assert said.code == 0, said.err
    said = unlesion(
        "detect", out, archive, "--where", "subject=P003", "--out", tmp_path / "found", "--jobs", 1
    )
    assert said.code == 0, said.err
    scan = read_scan(archive / "P003" / "flair")
    healthy = nibabel.load(tmp_path / "found/P003/flair/healthy.nii.gz")
    assert healthy.shape == scan.grid.file_shape


@pytest.mark.slow
def test_a_bids_dataset(unlesion: Command, dataset: Path, tmp_path: Path) -> None:
    trained, found, measured = tmp_path / "run", tmp_path / "found", tmp_path / "measured"
    said = unlesion(
        "train", dataset, "--method", "intensity", "--preset", "tiny", *QUICK, "--out", trained, "--jobs", 1
    )
    assert said.code == 0, said.err
    assert "labels taken from lesion masks" in said.err
    said = unlesion("detect", trained, dataset, "--where", "split=test", "--out", found, "--jobs", 1)
    assert said.code == 0, said.err
    test = Cohort.open(dataset).select(split="test")
    rows = rows_of(found)
    assert set(rows) == {entry.key for entry in test}
    assert {row["label"] for row in rows.values()} == {"healthy", "anomalous"}
    entry = test[0]
    written = nibabel.load(found / entry.key / "anomaly.nii.gz")
    np.testing.assert_array_equal(written.affine, nibabel.load(entry.paths[0]).affine)
    said = unlesion("evaluate", trained, dataset, "--out", measured, "--jobs", 1)
    assert said.code == 0, said.err
    metrics = json.loads((measured / "metrics.json").read_text())
    assert metrics["voxel"]["ap"]["value"] > metrics["voxel"]["prevalence"]["value"]
    store = tmp_path / "store"
    said = unlesion(
        "prepare", dataset, "--where", "sex=F", "--recipe", "brain-mri", *QUICK, "--out", store, "--jobs", 1
    )
    assert said.code == 0, said.err
    said = unlesion(
        "detect", trained, store, "--where", "split=test", "--out", tmp_path / "stored", "--jobs", 1
    )
    assert said.code == 0, said.err
    stored = rows_of(tmp_path / "stored")
    assert stored and set(stored) < set(rows)
