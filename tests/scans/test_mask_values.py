"""Masks of several classes: a column says which values are lesion; the others are not judged."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from unlesion.evaluating import evaluated
from unlesion.evaluation import read_maps_folder
from unlesion.scans import Cohort, read_scan
from unlesion.scans.reading import has_marks


@pytest.fixture
def masks(save_picture):
    """An image; a mask of a lesion (1) beside another finding (2), and one of the other finding alone."""
    save_picture("a.png")
    both = np.zeros((24, 20), np.uint8)
    both[5:9, 5:9] = 1
    both[12:15, 5:9] = 2
    save_picture("both.png", both)
    save_picture("other.png", np.where(both == 2, 2, 0).astype(np.uint8))


def row(mask, values="1"):
    return {"path": "a.png", "subject": "a", "mask_path": mask, "mask_values": values}


def test_other_values_are_neither_lesion_nor_healthy(masks, save_manifest):
    (entry,) = Cohort.open(save_manifest([row("both.png")]))
    scan = entry.read()
    assert scan.lesions.sum() == 16
    assert scan.unjudged.sum() == 12
    assert not (scan.lesions & scan.unjudged).any()
    everywhere = np.ones_like(scan.lesions)
    assert scan.judged(everywhere).sum() == everywhere.sum() - 12


def test_without_values_everything_marked_is_lesion(masks, save_manifest):
    (entry,) = Cohort.open(save_manifest([row("both.png", "")]))
    scan = entry.read()
    assert scan.lesions.sum() == 28
    assert scan.unjudged is None
    assert scan.judged(scan.lesions) is scan.lesions


def test_labels_follow_the_values(masks, save_manifest):
    for values, label in (("1", "healthy"), ("1,2", "anomalous"), ("", "anomalous")):
        (entry,) = Cohort.open(save_manifest([row("other.png", values)]))
        assert entry.label == label
        assert entry.is_marked() == (label == "anomalous")


def test_joined_channels_keep_the_values_of_the_mask(masks, save_picture, save_manifest):
    save_picture("b.png")
    rows = [
        {"path": "b.png", "subject": "a", "modality": "T2", "mask_path": "", "mask_values": ""},
        {**row("both.png"), "modality": "T1"},
    ]
    (entry,) = Cohort.open(save_manifest(rows), channels=["T2", "T1"])
    assert entry.mask_values == (1.0,)
    assert entry.read().lesions.sum() == 16


@pytest.mark.parametrize("values", ["lesion", "0", "-1", "1;2", "nan", "inf"])
def test_values_that_are_none_are_refused(masks, save_manifest, refuses, values):
    manifest = save_manifest([row("both.png", values)])
    refuses(lambda: Cohort.open(manifest), "row 2", "mask_values", "numbers above 0")


def test_what_is_not_judged_is_left_out_of_measurement(masks, save_manifest):
    """In the evaluation of a run; the scan's own roi is what counts there."""
    (entry,) = Cohort.open(save_manifest([row("both.png")]))
    scan = entry.read()
    everywhere = np.ones_like(scan.lesions)
    detector = SimpleNamespace(
        evidence=lambda prepared, device: SimpleNamespace(healthy=None),
        maps=lambda scan, prepared, evidence: {},
        assumed_width_mm=lambda modality: 200.0,
    )
    prepared = SimpleNamespace(intensity=SimpleNamespace(offset=[0.0], scale=[1.0]))
    found = evaluated(detector, entry, replace(scan, roi=everywhere), prepared)
    assert found.roi.sum() == everywhere.sum() - 12
    assert found.truth.sum() == 16


def test_what_is_not_judged_is_left_out_of_anybodys_maps(masks, save_manifest, tmp_path):
    cohort = Cohort.open(save_manifest([row("both.png")]))
    maps = tmp_path / "maps/a"
    maps.mkdir(parents=True)
    np.save(maps / "anomaly.npy", np.zeros((24, 20), np.float32))
    (scan,) = read_maps_folder(tmp_path / "maps", cohort)
    assert not (scan.roi & cohort[0].read().unjudged).any()


def test_labels_stored_with_a_slope_are_the_labels(tmp_path):
    """A 0, 1, 2 mask in 8 bit with a slope reads 0.996 for 1; no lesion was found, and the scan called healthy."""
    values = np.zeros((24, 20, 18), np.float32)
    values[5:9, 5:9, 5:9], values[12:15, 5:9, 5:9] = 1, 2
    header = nib.Nifti1Header()
    header.set_data_dtype(np.uint8)
    nib.save(
        nib.Nifti1Image(values + np.random.default_rng(0).random(values.shape) / 1e4, np.eye(4)),
        tmp_path / "a.nii.gz",
    )
    nib.save(nib.Nifti1Image(values, np.eye(4), header), tmp_path / "mask.nii.gz")
    read_back = nib.load(tmp_path / "mask.nii.gz").get_fdata()
    assert not (read_back == 1).any(), "the header is meant to have a slope"
    scan = read_scan(tmp_path / "a.nii.gz", mask=tmp_path / "mask.nii.gz", mask_values=[1])
    assert scan.lesions.sum() == 64
    assert scan.unjudged.sum() == 48
    assert has_marks(tmp_path / "mask.nii.gz", (1.0,)) and not has_marks(tmp_path / "mask.nii.gz", (3.0,))
