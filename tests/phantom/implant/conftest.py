"""A virtual head as a stranger's scan: a volume, and a slice of it as a picture."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from unlesion.phantom import make_subject
from unlesion.phantom.implant import RealAnatomy, anatomy_of
from unlesion.scans import Scan, read_scan


@pytest.fixture(scope="session")
def head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`head.nii.gz` (T1, 2 mm) and `slice.png` (8 bit) in a folder."""
    folder = tmp_path_factory.mktemp("head")
    person = make_subject(3, modality="T1", spacing_mm=2.0)
    nibabel.save(nibabel.Nifti1Image(person.image.astype(np.int16), person.affine), folder / "head.nii.gz")
    volume = read_scan(folder / "head.nii.gz").voxels[0]
    pixels = np.clip(volume[:, :, 44] / np.percentile(volume, 99.9) * 230, 0, 255)
    Image.fromarray(np.rint(pixels).astype(np.uint8)).save(folder / "slice.png")
    Image.fromarray(np.rint(pixels[::-1]).astype(np.uint8)).save(folder / "turned.png")
    return folder


@pytest.fixture(scope="session")
def volume(head: Path) -> Scan:
    return read_scan(head / "head.nii.gz", modality="T1")


@pytest.fixture(scope="session")
def picture(head: Path) -> Scan:
    return read_scan(head / "slice.png", modality="T1", spacing_mm=2.0)


@pytest.fixture(scope="session")
def real_volume(volume: Scan) -> RealAnatomy:
    return anatomy_of(volume)


@pytest.fixture(scope="session")
def real_slice(picture: Scan) -> RealAnatomy:
    return anatomy_of(picture)
