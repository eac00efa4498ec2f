from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from unlesion.scans import read_scan, sides_of

SHAPE = (20, 24, 18)


def write(path: Path, codes: str, *, known: bool = True) -> Path:
    """A volume stored in the given axes, with a bright block on the patient's left."""
    voxels = np.zeros(SHAPE, np.float32)
    voxels[2:5, 10:14, 7:11] = 1.0
    # With this affine the first axis runs from the left to the right of the patient.
    ras = nibabel.Nifti1Image(voxels, np.eye(4))
    change = nibabel.orientations.ornt_transform(
        nibabel.orientations.io_orientation(ras.affine), nibabel.orientations.axcodes2ornt(codes)
    )
    image = ras.as_reoriented(change)
    image.set_sform(image.affine, int(known))
    image.set_qform(image.affine, int(known))
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("codes", ["RAS", "LAS", "LPS", "PIR", "SLA"])
def test_the_left_of_the_patient_lies_where_the_letter_says(tmp_path: Path, codes: str) -> None:
    scan = read_scan(write(tmp_path / "x.nii.gz", codes))
    sides = sides_of(scan.grid)
    assert sides is not None
    columns = np.nonzero(scan.voxels[0].sum(axis=(0, 2)))[0]
    at_the_right = columns.mean() > scan.grid.shape[1] / 2
    assert sides[int(at_the_right)] == "L"
    assert sides == ("R", "L")


def test_a_slice_of_another_plane_has_the_letters_of_its_plane(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).random((1, 20, 24)).astype(np.float32)
    image = nibabel.Nifti1Image(voxels, np.eye(4))
    nibabel.save(image, tmp_path / "sagittal.nii.gz")
    assert sides_of(read_scan(tmp_path / "sagittal.nii.gz").grid) == ("A", "P")
    image = nibabel.Nifti1Image(voxels.transpose(1, 0, 2), np.eye(4))
    nibabel.save(image, tmp_path / "coronal.nii.gz")
    assert sides_of(read_scan(tmp_path / "coronal.nii.gz").grid) == ("R", "L")


def test_nothing_is_said_where_nobody_knows(tmp_path: Path) -> None:
    assert sides_of(read_scan(write(tmp_path / "x.nii.gz", "RAS", known=False)).grid) is None
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32)).astype(np.uint8)).save(
        tmp_path / "x.png"
    )
    assert sides_of(read_scan(tmp_path / "x.png").grid) is None
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((32, 32)))
    assert sides_of(read_scan(tmp_path / "x.npy").grid) is None
