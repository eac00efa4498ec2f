"""A real series, beside dcm2niix; and the files that come with pydicom."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom.data
import pytest
from nibabel.orientations import apply_orientation, io_orientation, ornt_transform

from unlesion.scans import Cohort, read_scan, write_float

# The files of pydicom's own tests that its wheel carries.
FILES = Path(pydicom.data.__file__).parent / "test_files"


@pytest.fixture(scope="module")
def converted(real_data, tmp_path_factory):
    """The real series as dcm2niix makes it, by the program in its wheel."""
    out = tmp_path_factory.mktemp("dcm2niix")
    program = Path(sys.executable).with_name("dcm2niix")
    words = [program, "-b", "n", "-z", "n", "-f", "real", "-o", out, real_data / "dicom_t1" / "series"]
    subprocess.run(words, check=True, capture_output=True, timeout=120)
    return nib.load(out / "real.nii")


@pytest.mark.real
def test_the_geometry_of_dcm2niix(real_data, converted, tmp_path):
    scan = read_scan(real_data / "dicom_t1" / "series")
    (written,) = write_float(tmp_path / "ours", scan.voxels[0], scan.grid)
    ours = nib.load(written)
    # Bring ours to the axes of dcm2niix: flips and order of axes are free, the world is not.
    change = ornt_transform(io_orientation(ours.affine), io_orientation(converted.affine))
    moved = ours.as_reoriented(change)
    np.testing.assert_allclose(moved.affine, converted.affine, atol=1e-3)
    np.testing.assert_array_equal(apply_orientation(ours.get_fdata(), change), converted.get_fdata())
    assert moved.shape == converted.shape == (274, 384, 48)


@pytest.mark.real
def test_the_real_series_as_a_cohort(real_data):
    (entry,) = Cohort.open(real_data / "dicom_t1")
    assert (entry.key, entry.subject, entry.modality) == ("series", "02", ("T1",))
    assert (entry.columns["age"], entry.columns["sex"]) == ("42", "F")
    assert "Jane" not in repr(entry)
    scan = entry.read()
    assert scan.warnings == ()
    np.testing.assert_allclose(np.abs(scan.grid.affine[:3, :3]).max(axis=0), [0.661, 0.699, 0.661], atol=1e-3)


@pytest.mark.parametrize(
    "name",
    [
        "MR_small.dcm",
        "MR_small_RLE.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_expb.dcm",
        "MR_small_implicit.dcm",
        "MR_small_jp2klossless.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "MR_small_padded.dcm",
    ],
)
def test_one_image_in_many_transfer_syntaxes(name):
    scan = read_scan(FILES / name)
    expected = pydicom.dcmread(FILES / "MR_small.dcm").pixel_array
    # Axial, but with the patient's left on the left of the screen.
    values = scan.voxels[0, :, :, 0]
    flips = [expected, expected[:, ::-1], expected[::-1], expected[::-1, ::-1]]
    assert any(np.array_equal(values, flipped) for flipped in flips)
    assert scan.grid.spacing[:2] == pytest.approx((0.3125, 0.3125))


def test_rescaled_ct():
    data = pydicom.dcmread(FILES / "CT_small.dcm")
    values = read_scan(FILES / "CT_small.dcm").voxels
    assert values.min() == data.pixel_array.min() * data.RescaleSlope + data.RescaleIntercept == -896
    assert values.max() == data.pixel_array.max() * data.RescaleSlope + data.RescaleIntercept == 1167


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("MR_truncated.dcm", ("truncated", "MR_truncated.dcm")),
        ("SC_rgb_jpeg.dcm", ("colour", "RGB")),
        ("examples_palette.dcm", ("colour", "PALETTE")),
        ("SC_ybr_full_422_uncompressed.dcm", ("colour", "YBR_FULL_422")),
        ("JPGExtended.dcm", ("JPEG Extended", "decompress")),
        ("rtplan.dcm", ("RT Plan", "no scan")),
        ("rtdose.dcm", ("dose", "no scan")),
        ("reportsi.dcm", ("without images", "Basic Text SR")),
        ("waveform_ecg.dcm", ("without images", "Waveform")),
        ("liver_1frame.dcm", ("1 frames but 3 descriptions",)),
        ("badVR.dcm", ("not readable as DICOM",)),
        ("priv_SQ.dcm", ("not readable as DICOM", "breaks off")),
        ("JPEGLSNearLossless_08.dcm", ("45 x 10 pixels",)),
    ],
)
def test_what_cannot_be_used_is_said(name, words, refuses):
    refuses(lambda: read_scan(FILES / name), *words)


def test_a_medium_with_many_series():
    """A folder with a DICOMDIR, several patients, and localisers among MR and CT, 1-slice series too."""
    folder = FILES / "dicomdirtests"
    cohort = Cohort.open(folder)
    headers = [pydicom.dcmread(p, force=True) for p in folder.rglob("*") if p.is_file() and p.suffix == ""]
    patients = {str(data.get("PatientID")) for data in headers}
    assert set(cohort.subjects) <= patients
    assert len(cohort.subjects) >= 2
    assert len({entry.key for entry in cohort}) == len(cohort)
    (left_out,) = [warning for warning in cohort.warnings if "left out" in warning]
    assert "a localiser: " in left_out and "'4 Scout'" in left_out
    assert not any("DICOMDIR" in warning for warning in cohort.warnings)
    names = {str(data.PatientName) for data in headers if data.get("PatientName")}
    shown = repr([entry.columns for entry in cohort]) + repr(cohort.warnings)
    assert not any(name in shown.replace(str(FILES), "") for name in names if len(name) > 3)
