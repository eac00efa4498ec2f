"""Folders of DICOM as cohorts: what is a scan, whose it is, and how it is called."""

from __future__ import annotations

import shutil

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from tests.dicoms import AXIAL, SAGITTAL, head, save, series_of, slice_file

from unlesion.scans import Cohort
from unlesion.scans.prints import prints_of
from unlesion.scans.series_rows import _NOBODY


@pytest.fixture
def clinic(tmp_path):
    """Two patients: one with a folder a series, one with everything in one folder."""
    root = tmp_path / "clinic"
    for name, description in (("t1", "t1_mprage"), ("t2", "t2_tse")):
        files = series_of(head(), series=name, patient="ANNA", description=description)
        save(files, root / "anna" / "visit 1" / name)
    for number, description in ((3, "AX FLAIR"), (4, "t1 mprage post Gd"), (4, "t1 mprage post Gd")):
        files = series_of(
            head(), series=f"{number}{description}", patient="BEN", number=number, description=description
        )
        save(files, root / "ben", name=f"{number}_" + "{}")
    files = series_of(head(), series="again", patient="BEN", number=4, description="t1 mprage post Gd")
    save(files, root / "ben", name="again_{}")
    return root


def test_series_of_one_folder_are_told_apart_by_their_prints(clinic):
    cohort = Cohort.open(clinic)
    found = prints_of(cohort)
    assert set(found) == {entry.key for entry in cohort}
    assert len(set(found.values())) == len(cohort)


def test_rows(clinic):
    cohort = Cohort.open(clinic)
    assert [entry.key for entry in cohort] == [
        "anna/visit 1/t1",
        "anna/visit 1/t2",
        "ben/3-AX-FLAIR",
        "ben/4-t1-mprage-post-Gd-1",
        "ben/4-t1-mprage-post-Gd-2",
    ]
    assert [entry.subject for entry in cohort] == ["ANNA"] * 2 + ["BEN"] * 3
    assert [entry.modality[0] for entry in cohort] == ["T1", "T2", "FLAIR", "T1CE", "T1CE"]
    assert len({entry.scan_id for entry in cohort}) == 2
    entry = cohort[0]
    assert {name: entry.columns[name] for name in ("age", "sex", "series", "scanner", "format")} == {
        "age": "42",
        "sex": "F",
        "series": "1",
        "scanner": "Maker One",
        "format": "dicom",
    }
    assert entry.label == "healthy"
    assert len(entry.files) == 8
    assert all(path.is_file() for path in entry.files)
    assert any("guessed" in warning and "2 T1CE" in warning for warning in cohort.warnings)
    assert any("5 images of 2 subjects" in w and "patient identifiers" in w for w in cohort.warnings)
    assert "Secret" not in repr(cohort.entries) + repr(cohort.warnings)
    for entry in cohort:
        assert entry.read().voxels.shape == (1, 20, 18, 8)


def test_where_and_channels(clinic, refuses):
    assert [entry.key for entry in Cohort.open(clinic, where=["modality=FLAIR"])] == ["ben/3-AX-FLAIR"]
    assert len(Cohort.open(clinic, where=["description=t2_tse,AX FLAIR"])) == 2
    cohort = Cohort.open(clinic, where=["subject=ANNA"], channels=["T2", "T1"])
    (entry,) = cohort
    assert entry.modality == ("T2", "T1")
    assert len(entry.files) == 16
    scan = entry.read()
    assert scan.voxels.shape == (2, 20, 18, 8)
    assert scan.modality == ("T2", "T1")
    refuses(lambda: Cohort.open(clinic, channels=["FLAIR", "T1CE"]), "both T1CE", "--where")


def test_dicom_and_nifti_channels_of_a_manifest(clinic, save_manifest):
    scan = Cohort.open(clinic, where=["modality=T1"])[0].read()
    array = scan.grid.to_file(scan.voxels[0])
    nib.save(nib.Nifti1Image(array, scan.grid.header.get_best_affine()), clinic / "flair.nii.gz")
    path = save_manifest(
        [
            {"path": "clinic/flair.nii.gz", "subject": "a", "scan": "1", "modality": "FLAIR"},
            {"path": "clinic/anna/visit 1/t1", "subject": "a", "scan": "1", "modality": "T1"},
        ]
    )
    (entry,) = Cohort.open(path, channels=["FLAIR", "T1"])
    assert len(entry.files) == 9
    voxels = entry.read().voxels
    np.testing.assert_array_equal(voxels[0], voxels[1])


def test_volumes(tmp_path):
    files = []
    for time in (0, 1):
        part = series_of(head() + 10000 * time)
        for data in part:
            data.TemporalPositionIdentifier = time + 1
            data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = (
                f"1.2.{time}.{data.InstanceNumber}"
            )
        files += part
    save(files, tmp_path / "c" / "s")
    low, high = (Cohort.open(tmp_path / "c", volume=number)[0].read().voxels for number in (0, 1))
    np.testing.assert_array_equal(high - low, 10000)


def test_one_series_by_folder_by_file_and_in_a_manifest(tmp_path, save_manifest):
    save(series_of(head(), patient="CLEO"), tmp_path / "data" / "cleo" / "series")
    by_folder = Cohort.open(tmp_path / "data" / "cleo" / "series")
    assert [(entry.key, entry.subject) for entry in by_folder] == [("series", "CLEO")]
    assert [entry.key for entry in Cohort.open(tmp_path / "data")] == ["cleo/series"]
    by_file = Cohort.open(tmp_path / "data" / "cleo" / "series" / "IM0003")
    assert [(entry.key, entry.subject, entry.modality) for entry in by_file] == [("IM0003", "CLEO", ("T1",))]
    assert by_file[0].read().voxels.shape == (1, 20, 18, 1)
    (entry,) = Cohort.open(save_manifest([{"path": "data/cleo/series", "subject": "c"}]))
    assert (entry.key, entry.subject, len(entry.files)) == ("data/cleo/series", "c", 8)
    np.testing.assert_array_equal(entry.read().voxels, by_folder[0].read().voxels)


def test_one_file_a_scan(tmp_path):
    """Radiographs, and slices of different series, are called after their files."""
    for name, patient in (("a.dcm", "A"), ("b.dcm", "B")):
        film = slice_file(
            head(1, 32, 24)[0], position=None, modality="CR", patient=patient, BodyPartExamined="CHEST"
        )
        save([film], tmp_path / "films", name=name)
    cohort = Cohort.open(tmp_path / "films")
    assert [(e.key, e.subject, e.modality) for e in cohort] == [("a", "A", ("CXR",)), ("b", "B", ("CXR",))]
    two = [
        slice_file(head(1, 32, 24)[0] + k, position=None, modality="DX", instance=k + 1, patient="C")
        for k in range(2)
    ]
    save(two, tmp_path / "patient", name="view{}")
    assert [entry.key for entry in Cohort.open(tmp_path / "patient")] == ["view0", "view1"]
    assert len(Cohort.open(tmp_path / "patient")[0].files) == 1


@pytest.mark.parametrize("patient", ["", "ANONYMOUS", "0000"])
def test_nobodys_identifier_gives_way_to_the_folder(patient, tmp_path):
    for name in ("x", "y"):
        save(series_of(head(), series=name, study=name, patient=patient), tmp_path / "c" / name)
    assert Cohort.open(tmp_path / "c").subjects == ("x", "y")


def test_a_series_of_two_echoes_is_taken_apart(tmp_path):
    files = []
    for echo in (20.0, 80.0):
        part = series_of(head() + int(echo), change=lambda data, index, e=echo: setattr(data, "EchoTime", e))
        for data in part:
            data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = (
                f"1.{int(echo)}.{data.InstanceNumber}"
            )
        files += part
    save(files, tmp_path / "c" / "s")
    cohort = Cohort.open(tmp_path / "c")
    assert [entry.key for entry in cohort] == ["s/1-t1-mprage-echo-20", "s/1-t1-mprage-echo-80"]
    assert any("taken apart" in warning and "echo-80" in warning for warning in cohort.warnings)
    for entry, echo in zip(cohort, (20, 80), strict=True):
        assert entry.read().voxels.min() == echo


def test_a_series_of_two_planes_is_taken_apart(tmp_path):
    axial = series_of(head(18), orientation=AXIAL)
    sagittal = series_of(head(18), orientation=SAGITTAL)
    for data in sagittal:
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.5.{data.InstanceNumber}"
    save([*axial, *sagittal], tmp_path / "c" / "s")
    cohort = Cohort.open(tmp_path / "c")
    assert [entry.key for entry in cohort] == ["s/1-t1-mprage-axial", "s/1-t1-mprage-sagittal"]
    assert all(entry.read().voxels.shape[0] == 1 for entry in cohort)


def test_dicom_beside_other_images(tmp_path):
    save(series_of(head(), patient="D"), tmp_path / "c" / "dora" / "t1")
    rng = np.random.default_rng(0)
    nib.save(
        nib.Nifti1Image(rng.normal(size=(18, 18, 18)).astype(np.float32), np.eye(4)),
        tmp_path / "c" / "dora" / "t1.nii.gz",
    )
    (tmp_path / "c" / "emil").mkdir()
    Image.fromarray(rng.integers(0, 255, (20, 20), dtype=np.uint8)).save(tmp_path / "c" / "emil" / "x.png")
    cohort = Cohort.open(tmp_path / "c")
    assert [entry.key for entry in cohort] == ["dora/t1", "dora/t1.nii.gz", "emil/x"]
    assert [entry.subject for entry in cohort] == ["D", "dora", "emil"]
    assert any("1 DICOM series and 2 other images" in warning for warning in cohort.warnings)
    assert [entry.key for entry in Cohort.open(tmp_path / "c", where=["format=nii.gz,png"])] == [
        "dora/t1.nii.gz",
        "emil/x",
    ]
    for entry in cohort:
        entry.read()


def test_the_digest_is_of_content_and_not_of_place(clinic, tmp_path):
    digest = Cohort.open(clinic).digest
    shutil.copytree(clinic, tmp_path / "elsewhere")
    assert Cohort.open(tmp_path / "elsewhere").digest == digest
    paths = sorted((tmp_path / "elsewhere" / "ben").iterdir())
    paths[0].write_bytes(paths[0].read_bytes() + b"\0\0")
    assert Cohort.open(tmp_path / "elsewhere").digest != digest
    paths[1].unlink()
    shutil.rmtree(tmp_path / "elsewhere" / "anna" / "visit 1" / "t2")
    assert len(Cohort.open(tmp_path / "elsewhere")) == 4


def test_a_folder_without_dicom_is_as_it_was(tmp_path):
    (tmp_path / "c" / "anna").mkdir(parents=True)
    Image.fromarray(np.arange(400, dtype=np.uint8).reshape(20, 20)).save(tmp_path / "c" / "anna" / "x.png")
    (tmp_path / "c" / "notes.txt").write_text("nothing")
    cohort = Cohort.open(tmp_path / "c")
    assert dict(cohort[0].columns) == {"path": "anna/x.png", "subject": "anna"}
    assert cohort.warnings == ()


@pytest.mark.parametrize(
    ("description", "elements", "modality"),
    [
        ("sag 3D FLAIR", {}, "FLAIR"),
        ("t2_tirm_tra_dark-fluid", {}, "FLAIR"),
        ("Ax T2 FSE", {}, "T2"),
        ("t1_se_tra +C", {}, "T1CE"),
        ("MPRAGE", {"ContrastBolusAgent": "Gadovist"}, "T1CE"),
        ("ep2d_diff_ADC", {}, "ADC"),
        ("AX T2*", {}, "T2star"),
        ("PD fs", {}, "PD"),
        ("", {"ProtocolName": "FLAIR long"}, "FLAIR"),
        ("", {"ScanningSequence": "SE", "RepetitionTime": 500.0, "EchoTime": 12.0}, "T1"),
        ("", {"ScanningSequence": "SE", "RepetitionTime": 4000.0, "EchoTime": 100.0}, "T2"),
        ("", {"ScanningSequence": "SE", "RepetitionTime": 3000.0, "EchoTime": 20.0}, "PD"),
        ("", {"InversionTime": 2500.0, "RepetitionTime": 9000.0, "EchoTime": 120.0}, "FLAIR"),
        ("", {"RepetitionTime": None}, ""),
        ("head", {"Modality": "CT"}, "CT"),
        ("hand", {"Modality": "DX", "BodyPartExamined": "HAND"}, "DX"),
        ("pa", {"Modality": "CR"}, "CXR"),
    ],
)
def test_guesses(description, elements, modality, tmp_path):
    (path,) = save(
        [slice_file(head(1)[0], position=(0, 0, 0), description=description, **elements)], tmp_path
    )
    assert Cohort.open(path)[0].modality == (modality,)


def test_a_folder_with_the_ending_of_a_file_counts_by_its_files(tmp_path, save_manifest):
    written = save(series_of(head()), tmp_path / "head.dcm")
    manifest = save_manifest([{"path": "head.dcm"}])
    cohort = Cohort.open(manifest)
    assert set(cohort[0].files) == set(written)
    digest = cohort.digest
    written[0].write_bytes(written[0].read_bytes() + bytes(2))
    assert Cohort.open(manifest).digest != digest


@pytest.mark.parametrize(
    ("name", "nobody"), [("ANONYMOUS", True), ("anonymized", True), ("Anon", True), ("ANON0001", False)]
)
def test_pseudonyms_are_somebody(name, nobody):
    assert bool(_NOBODY.fullmatch(name)) is nobody
