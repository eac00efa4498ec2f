"""A manifest with lesion masks but no labels: who has a lesion is not healthy."""

from __future__ import annotations

import numpy as np
import pytest

from unlesion.scans import Cohort, reading
from unlesion.scans.formats import read_array


@pytest.fixture
def masks(save_picture):
    """Two masks: one marks a lesion, one marks nothing."""
    mark = np.zeros((24, 20), np.uint8)
    save_picture("empty.png", mark)
    mark[5:9, 5:9] = 255
    save_picture("lesion.png", mark)


def labels(cohort):
    return {entry.key: entry.label for entry in cohort}


def test_a_mask_that_marks_something_is_anomalous(masks, save_manifest):
    rows = [
        {"path": "a.png", "subject": "a", "mask_path": "lesion.png"},
        {"path": "b.png", "subject": "b", "mask_path": "empty.png"},
        {"path": "c.png", "subject": "c", "mask_path": ""},
        {"path": "d.png", "subject": "d", "mask_path": "missing.png"},
    ]
    cohort = Cohort.open(save_manifest(rows))
    # What a mask that cannot be read would mark is not known.
    assert labels(cohort) == {"a": "anomalous", "b": "healthy", "c": "healthy", "d": "anomalous"}
    assert [warning for warning in cohort.warnings if "2 images anomalous, 2 healthy" in warning]
    assert len(Cohort.open(save_manifest(rows), where=["label=healthy"])) == 2


def test_other_channels_of_a_scan_show_the_same_lesion(masks, save_manifest):
    rows = [
        {"path": "T1.png", "subject": "a", "scan": "1", "modality": "T1", "mask_path": "lesion.png"},
        {"path": "T2.png", "subject": "a", "scan": "1", "modality": "T2", "mask_path": ""},
        {"path": "later.png", "subject": "a", "scan": "2", "modality": "T1", "mask_path": "empty.png"},
    ]
    manifest = save_manifest(rows)
    assert labels(Cohort.open(manifest)) == {"T1": "anomalous", "T2": "anomalous", "later": "healthy"}
    # A label does not depend on which rows are chosen.
    assert labels(Cohort.open(manifest, where=["modality=T2"])) == {"T2": "anomalous"}
    assert labels(Cohort.open(manifest, channels=["T1", "T2"])) == {"T1": "anomalous"}


def test_other_slices_of_a_volume_may_be_healthy(masks, save_manifest):
    rows = [
        {"path": "low.png", "subject": "a", "scan": "1", "position": "0.2", "mask_path": ""},
        {"path": "high.png", "subject": "a", "scan": "1", "position": "0.8", "mask_path": "lesion.png"},
    ]
    assert labels(Cohort.open(save_manifest(rows))) == {"low": "healthy", "high": "anomalous"}


def test_a_label_stands_above_masks(masks, save_manifest):
    rows = [{"path": "a.png", "subject": "a", "mask_path": "lesion.png", "label": "healthy"}]
    cohort = Cohort.open(save_manifest(rows))
    assert labels(cohort) == {"a": "healthy"}
    assert cohort[0].is_marked()
    assert cohort.warnings == ()


def test_empty_masks_alone_are_no_news(masks, save_manifest):
    cohort = Cohort.open(save_manifest([{"path": "a.png", "subject": "a", "mask_path": "empty.png"}]))
    assert labels(cohort) == {"a": "healthy"}
    assert cohort.warnings == ()


def test_a_mask_out_of_the_folder_is_refused_before_it_is_read(save_manifest, refuses):
    rows = [{"path": "a.png", "mask_path": "../../lesion.png"}]
    refuses(lambda: Cohort.open(save_manifest(rows)), "row 2", "mask_path")


def test_a_mask_is_read_once_and_again_when_it_has_changed(masks, save_manifest, save_picture, monkeypatch):
    read = []

    def counted(path, **options):
        read.append(path.name)
        return read_array(path, **options)

    monkeypatch.setattr(reading, "read_array", counted)
    rows = [{"path": "a.png", "subject": "a", "mask_path": "empty.png"}]
    manifest = save_manifest(rows)
    for _ in range(2):
        cohort = Cohort.open(manifest)
        assert labels(cohort) == {"a": "healthy"} and not cohort[0].is_marked()
    assert read == ["empty.png"]
    mark = np.zeros((24, 20), np.uint8)
    mark[5:9, 5:9] = 255
    save_picture("empty.png", mark)
    assert cohort[0].is_marked()
    assert labels(Cohort.open(manifest)) == {"a": "anomalous"}
    assert read == ["empty.png"] * 2


def test_a_mask_that_cannot_be_read_is_tried_again(masks, save_manifest, save_picture):
    manifest = save_manifest([{"path": "a.png", "subject": "a", "mask_path": "missing.png"}])
    assert labels(Cohort.open(manifest)) == {"a": "anomalous"}
    save_picture("missing.png", np.zeros((24, 20), np.uint8))
    assert labels(Cohort.open(manifest)) == {"a": "healthy"}
