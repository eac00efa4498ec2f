"""The same on real images, where they are at hand."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import aff2axcodes
from PIL import Image

from unlesion.scans import Cohort, write_binary, write_float


def test_the_whole_manifest_opens(real_data):
    cohort = Cohort.open(real_data / "manifest.csv")
    assert len(cohort) > 4000
    assert cohort.warnings == ()
    assert len({entry.key for entry in cohort}) == len(cohort)
    assert {entry.split for entry in cohort} == {"train", "val", "test"}


@pytest.mark.parametrize(
    "source", ["malf_t1", "mslub", "brats_mini", "lgg_flair", "cxr_nih", "cxr_covid", "oasis_t1_2d"]
)
def test_a_scan_of_each_source_comes_back_as_it_was(source, real_data, tmp_path):
    cohort = Cohort.open(real_data, where=[f"source={source}"])
    entry = cohort.select(label="anomalous").entries[:1] or cohort.entries[:1]
    scan = entry[0].read()
    assert scan.warnings == ()
    assert (scan.lesions is None) == (entry[0].mask_path is None)
    (written,) = write_float(tmp_path / "back", scan.voxels, scan.grid)
    path = entry[0].paths[0]
    if path.suffix == ".png":
        np.testing.assert_array_equal(np.load(written), np.asarray(Image.open(path), dtype=np.float32))
        return
    back, own = nib.load(written), nib.load(path)
    np.testing.assert_array_equal(back.affine, own.affine)
    np.testing.assert_array_equal(back.get_fdata(dtype=np.float32), own.get_fdata(dtype=np.float32))
    assert aff2axcodes(scan.grid.affine) == ("P", "L", "S")
    if scan.lesions is not None:
        (mask,) = write_binary(tmp_path / "mask", scan.lesions, scan.grid)
        np.testing.assert_array_equal(
            nib.load(mask).get_fdata(), nib.load(entry[0].mask_path).get_fdata() > 0
        )


def test_three_sequences_of_a_patient_are_one_scan(real_data):
    cohort = Cohort.open(real_data / "manifest.csv", where=["source=mslub"], channels=["T1", "T2", "FLAIR"])
    assert len(cohort) == 2
    scan = cohort[0].read()
    assert scan.voxels.shape == (3, 218, 182, 182)
    assert scan.modality == ("T1", "T2", "FLAIR")
    assert int(scan.lesions.sum()) == 1300
    # The lesions of multiple sclerosis are bright on FLAIR.
    flair = scan.voxels[2]
    assert flair[scan.lesions].mean() > np.median(flair[flair > 0])


def test_a_head_is_longer_than_wide_and_narrower_below(real_data):
    """Left and right cannot be told by a healthy brain."""
    cohort = Cohort.open(real_data / "manifest.csv", where=["source=malf_t1"])
    head = cohort[0].read().voxels[0] > 0
    inside = np.argwhere(head)
    rows, columns, slices = np.ptp(inside, axis=0)
    assert rows > columns
    area = head.sum(axis=(0, 1))
    lowest = inside[:, 2].min()
    assert area[lowest + round(0.15 * slices)] < area[lowest + round(0.5 * slices)]


def test_given_region_of_a_slice(real_data):
    cohort = Cohort.open(real_data / "manifest.csv", where=["source=lgg_flair"])
    scan = cohort[0].read()
    assert 0.1 < scan.roi.mean() < 0.9
    assert 0 < scan.position < 1


def test_a_folder_of_dicom_in_the_manifest(real_data):
    (entry,) = Cohort.open(real_data / "manifest.csv", where=["source=dicom_t1"])
    assert entry.key == "dicom_t1/series"
    assert len(entry.files) == 48
    scan = entry.read()
    assert scan.voxels.shape == (1, 384, 274, 48)
    assert scan.grid.spacing == pytest.approx((0.6667, 0.7, 0.6667), abs=1e-4)
