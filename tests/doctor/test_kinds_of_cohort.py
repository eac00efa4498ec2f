"""DICOM series, BIDS datasets and prepared stores are examined like manifests and folders."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from tests import bids, dicoms
from tests.doctor.conftest import Planted, findings_in


def test_a_folder_of_dicom_series(tmp_path: Path) -> None:
    for patient in ("ANNA", "BEN"):
        # Copies of one head: that is a finding, too.
        files = dicoms.series_of(dicoms.head(), series=patient, patient=patient, description="t1_mprage")
        dicoms.save(files, tmp_path / patient)
    found = findings_in(tmp_path)
    named = found["identity.header"]
    assert len(named.where) == 2
    assert "PatientID" in named.what and "ANNA" not in named.what + named.detail
    assert len(found["duplicates.within-split"].where) == 2
    assert "file.unreadable" not in found
    assert "sides.guessed" not in found


def test_a_series_that_lost_files_is_an_error(tmp_path: Path) -> None:
    for patient in ("ANNA", "BEN"):
        files = dicoms.series_of(dicoms.head(), series=patient, patient=patient, description="t1_mprage")
        dicoms.save(files[:3] + files[4:] if patient == "BEN" else files, tmp_path / patient)
    found = findings_in(tmp_path)
    assert found["file.unreadable"].where == ("BEN",)
    assert found["file.unreadable"].level == "error"


def test_a_bids_dataset(tmp_path: Path) -> None:
    root = bids.describe(tmp_path / "ds")
    for subject in ("01", "02"):
        bids.image(root / f"sub-{subject}/anat/sub-{subject}_T1w.nii.gz", seed=int(subject))
    (root / "sub-02/anat/sub-02_T1w.nii.gz").write_bytes(b"")
    found = findings_in(root)
    assert found["file.unreadable"].where == ("sub-02/anat/sub-02_T1w",)
    assert found["file.unreadable"].of == 2


def test_a_prepared_store(cohort: Planted) -> None:
    from unlesion.prepare import load_recipe, prepare_cohort
    from unlesion.scans import Cohort

    shutil.copy(cohort.folder / "s00.png", cohort.folder / "s01.png")
    store = cohort.folder / "store"
    prepare_cohort(Cohort.open(cohort.write()), load_recipe("slices", {"size": 32}), store)
    found = findings_in(store)
    assert found["duplicates.within-split"].where == ("s00", "s01")
    # A store keeps masks in its own way.
    assert not {"mask.none", "mask.empty"} & set(found)
    assert not [finding for finding in found.values() if finding.level == "error"]


def test_what_results_carry_of_the_patient(tmp_path: Path) -> None:
    files = dicoms.series_of(dicoms.head(), series="a", patient="ANNA", description="t1_mprage")
    dicoms.save(files, tmp_path / "ANNA")
    assert "carry PatientID, as the subject" in findings_in(tmp_path)["identity.header"].mend
    (tmp_path / "manifest.csv").write_text("path,subject\nANNA,one\n")
    assert "carry none" in findings_in(tmp_path)["identity.header"].mend


def test_a_damaged_last_file_is_an_error_though_no_scan_misses_it(tmp_path: Path) -> None:
    files = dicoms.series_of(dicoms.head(), series="a", patient="ANNA", description="t1_mprage")
    written = dicoms.save(files, tmp_path / "ANNA")
    last = max(written, key=lambda path: path.name)
    last.write_bytes(last.read_bytes()[:300])
    found = findings_in(tmp_path)
    assert found["file.no-series"].level == "error"
    assert last.name in found["file.no-series"].what
    assert "file.unreadable" not in found


def test_masks_that_lie_among_images(cohort: Planted) -> None:
    (cohort.folder / "manifest.csv").unlink(missing_ok=True)
    found = findings_in(cohort.folder)["voxels.two-values"]
    assert found.level == "error"
    assert found.where == tuple(f"s{number}_mask" for number in range(33, 39))


def test_masks_of_several_classes_among_images(cohort: Planted) -> None:
    labels = np.zeros((48, 48), np.uint8)
    labels[10:14, 10:14], labels[20:24, 10:14], labels[30:34, 10:14] = 1, 2, 4
    cohort.add("seg.png", labels)
    assert cohort.examine()["voxels.two-values"].where == ("seg",)
