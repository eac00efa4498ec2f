from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from tests.doctor.conftest import Planted, draw, findings_in
from unlesion.doctor.examinations.faces import protrusion
from unlesion.doctor.examinations.identity import telling_fields

VOXELS = np.random.default_rng(0).normal(100, 5, (20, 20, 20)).astype(np.float32)


@pytest.mark.parametrize(
    ("field", "text", "telling"),
    [
        ("descrip", b"5.0.10", False),
        ("descrip", b"TE=30;Time=101112.340", False),
        ("descrip", b"Doe^Jane 1966-01-01", True),
        ("descrip", b"FSL 20130717", True),
        ("db_name", b"jane_doe", True),
        ("aux_file", b"none", False),
        ("intent_name", b"Patient 7", True),
    ],
)
def test_texts_of_nifti(tmp_path: Path, field: str, text: bytes, telling: bool) -> None:
    image = nibabel.Nifti1Image(VOXELS, np.eye(4))
    image.header[field] = text
    nibabel.save(image, tmp_path / "x.nii.gz")
    assert telling_fields(tmp_path / "x.nii.gz") == ((f"NIfTI {field}",) if telling else ())


def test_extensions_of_nifti(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VOXELS, np.eye(4))
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"born 01/02/1966"))
    nibabel.save(image, tmp_path / "x.nii")
    assert telling_fields(tmp_path / "x.nii") == ("NIfTI extension 6",)


def test_texts_of_pictures(tmp_path: Path) -> None:
    picture = Image.fromarray(draw(0)[0])
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Comment", "Patient: Jane")
    texts.add_text("Software", "exporter 2013-07-17")
    picture.save(tmp_path / "a.png", pnginfo=texts)
    assert telling_fields(tmp_path / "a.png") == ("PNG text Comment",)
    exif = Image.Exif()
    exif[0x013B] = "Jane"
    picture.save(tmp_path / "b.jpg", exif=exif)
    assert telling_fields(tmp_path / "b.jpg") == ("EXIF Artist",)
    picture.save(tmp_path / "c.png", dpi=(72, 72))
    assert telling_fields(tmp_path / "c.png") == ()


def test_dicom_headers(tmp_path: Path) -> None:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    header = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    header.PatientName, header.PatientID, header.BurnedInAnnotation = "Doe^Jane", "", "YES"
    folder = tmp_path / "series"
    folder.mkdir()
    (folder / "0.txt").write_text("no DICOM", encoding="utf-8")
    header.save_as(folder / "1.dcm")
    fields = ("DICOM PatientName", "DICOM BurnedInAnnotation (text in the pixels)")
    assert telling_fields(folder / "1.dcm") == fields
    assert telling_fields(folder) == fields


def test_contents_are_not_repeated(tmp_path: Path) -> None:
    import json

    for name in ("a", "b"):
        image = nibabel.Nifti1Image(VOXELS + np.random.default_rng(len(name)).random(VOXELS.shape), np.eye(4))
        image.header["descrip"] = b"Doe^Jane" if name == "b" else b""
        nibabel.save(image, tmp_path / f"{name}.nii.gz")
    found = findings_in(tmp_path)
    assert found["identity.header"].where == ("b",)
    assert found["identity.header"].level == "warning"
    assert "Jane" not in json.dumps([finding.to_json() for finding in found.values()])


def _head(*, face: str, spacing: float = 3.0) -> np.ndarray:
    """A filled head (rows to posterior, columns to left, slices up), 240 mm high, with a nose, without, or cut."""
    size = round(250 / spacing)
    rows, columns, heights = np.mgrid[:size, :size, :size] * spacing
    depth = 240 - heights
    skull = ((rows - 120) / 95) ** 2 + ((columns - 125) / 75) ** 2 + ((depth - 85) / 85) ** 2 < 1
    neck = (np.hypot(rows - 130, columns - 125) < 60) & (depth > 85)
    jaw = (((rows - 90) / 58) ** 2 + ((columns - 125) / 60) ** 2 < 1) & (depth > 85) & (depth < 205)
    nose = (rows > 15) & (rows < 60) & (np.abs(columns - 125) < 12) & (depth > 110) & (depth < 140)
    head = skull | neck | jaw | nose
    if face == "cut":
        head &= ~((depth > 95) & (rows < 60))
    if face == "none":
        head = skull
    return np.asarray(head)


@pytest.mark.parametrize(("face", "there"), [("whole", True), ("cut", False), ("none", False)])
def test_a_face_protrudes(face: str, there: bool) -> None:
    found = protrusion(_head(face=face), (3.0, 3.0, 3.0))
    assert found is not None
    assert (found > 0) == there


def test_a_slab_says_nothing_of_a_face() -> None:
    head = _head(face="whole")
    assert protrusion(head[:, :, 45:], (3.0, 3.0, 3.0)) is None
    assert protrusion(head[:, :, :60], (3.0, 3.0, 3.0)) is None


@pytest.mark.parametrize("face", ["whole", "cut"])
def test_faces_in_volumes(tmp_path: Path, face: str) -> None:
    head = _head(face=face)
    rng = np.random.default_rng(0)
    voxels = np.where(head, 300, 0) + np.abs(rng.normal(0, 8, head.shape))
    affine = np.array([[0, -3.0, 0, 120], [-3, 0, 0, 120], [0, 0, 3, -120], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(voxels.astype(np.float32), affine), tmp_path / "a.nii.gz")
    assert ("identity.face" in findings_in(tmp_path)) == (face == "whole")


def test_pictures_have_no_faces(cohort: Planted) -> None:
    assert "identity.face" not in cohort.examine()
