"""Public datasets by their names: one battery over all of them, on small trees laid out as they are."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from tests.public_trees import SIDE, SLICES, TREES, drawn, head, plant, save

from unlesion.scans import Cohort
from unlesion.scans.datasets import dataset_named, dataset_names

NAMES = dataset_names()
PAGE = Path(__file__).resolve().parents[3] / "docs/how-to/public-datasets.md"


def test_every_dataset_has_a_tree():
    assert sorted(TREES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_what_lies_there_is_found(name, tmp_path):
    tree = TREES[name]
    cohort = Cohort.open(name, root=plant(tmp_path, tree))
    assert cohort.name == name
    assert sorted(cohort.subjects) == sorted(tree.subjects)
    assert {entry.modality[0] for entry in cohort} == set(tree.modalities)
    found = {path.relative_to(tmp_path).as_posix() for entry in cohort for path in entry.paths}
    assert found == set(tree.images)
    assert {entry.label for entry in cohort} == {tree.label}
    assert all((entry.pathology == "none") == (entry.label == "healthy") for entry in cohort)
    # Who learns and who tests is left to the rule for all cohorts.
    assert {entry.split for entry in cohort} == {None}
    assert {entry.columns["source"] for entry in cohort} == {name}
    masks = {entry.mask_path.relative_to(tmp_path).as_posix() for entry in cohort if entry.mask_path}
    assert masks == set(tree.masks)
    assert sum(entry.mask_path is not None for entry in cohort) == tree.masked
    assert dataset_named(name).title in cohort.warnings[0]
    assert f"{len(tree.images)} images of {len(tree.subjects)} subjects" in cohort.warnings[0]


@pytest.mark.parametrize("name", NAMES)
def test_scans_are_read_with_their_masks_and_channels(name, tmp_path):
    tree = TREES[name]
    joined = Cohort.open(name, root=plant(tmp_path, tree), channels=tree.channels)
    for entry in joined:
        scan = entry.read()
        assert scan.voxels.shape == (len(tree.channels), SIDE, SIDE, SLICES)
        assert scan.modality == tree.channels
        if entry.mask_path is not None:
            assert scan.lesions.any() and entry.is_marked()


@pytest.mark.parametrize("name", NAMES)
def test_the_example_of_a_layout_is_of_that_layout(name):
    layout = dataset_named(name)
    for example in layout.expected.split(" or "):
        said = layout.said(layout.versions[0].images, example)
        assert said is not None and said["subject"]
    assert layout.citation and layout.licence and layout.access.startswith("https://")


@pytest.mark.parametrize("name", NAMES)
def test_the_page_says_all_of_it(name):
    (row,) = re.findall(rf"^\| `{name}` .*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    layout = dataset_named(name)
    for words in (layout.access.partition(", ")[0], layout.licence.partition(";")[0], layout.expected):
        assert words in row


def test_the_folder_may_be_any_of_those_on_the_way(tmp_path):
    plant(tmp_path, TREES["wmh2017"])
    whole = Cohort.open("wmh2017", root=tmp_path, where=["part=training", "site=Utrecht"])
    part = Cohort.open("wmh2017", root=tmp_path / "training/Utrecht")
    assert [entry.paths for entry in part] == [entry.paths for entry in whole]
    assert part.subjects == ("Utrecht/0",)


def test_other_pathology_is_neither_lesion_nor_healthy(tmp_path):
    plant(tmp_path, TREES["wmh2017"])
    cohort = Cohort.open("wmh2017", root=tmp_path, where=["modality=FLAIR", "site=Utrecht"])
    scan = cohort[0].read()
    assert (scan.lesions.sum(), scan.unjudged.sum()) == (8, 8)


def test_sites_and_scanners(tmp_path):
    plant(tmp_path, TREES["wmh2017"])
    rows = [entry.columns for entry in Cohort.open("wmh2017", root=tmp_path, where=["modality=T1"])]
    assert [(row["site"], row["scanner"], row["part"]) for row in rows] == [
        ("Amsterdam", "Philips_VU .PETMR_01.", "test"),
        ("Amsterdam", "GE3T", "training"),
        ("Utrecht", "", "training"),
    ]
    # The first release had no folder for the site of this scanner.
    save(tmp_path / "old/GE3T/100/pre/FLAIR.nii.gz", head(0))
    (entry,) = Cohort.open("wmh2017", root=tmp_path / "old")
    assert entry.columns["site"] == "Amsterdam"


def test_one_version_is_read_and_the_others_are_named(tmp_path):
    plant(tmp_path, TREES["wmh2017"])
    cohort = Cohort.open("wmh2017", root=tmp_path)
    assert {entry.columns["version"] for entry in cohort} == {"pre"}
    assert any("'pre' is read, orig left out" in warning for warning in cohort.warnings)


def test_mslub_as_a_repository_hands_it_out(tmp_path):
    for folder in ("coregistered", "raw"):
        for name in ("FLAIR", "T1W", "T2W"):
            save(tmp_path / folder / f"patient07/{name}.nii.gz", head(0))
        save(tmp_path / folder / "patient07/consensus_gt.nii.gz", drawn((1,)))
    save(tmp_path / "coregistered/patient07/brainmask.nii.gz", (head(0) > 0).astype(np.uint8))
    ending = "_N4_noneck_reduced_winsor_regtoFLAIR_brain_N4_regtoMNI.nii.gz"
    for name in ("FLAIR", "T1", "T1POST", "T2"):
        save(tmp_path / f"MNI/patient07/{name}{ending}", head(0))
    gold = "GOLD_STANDARD_N4_noneck_reduced_winsor_regtoFLAIR_regtoMNI.nii.gz"
    save(tmp_path / f"MNI/patient07/{gold}", drawn((1,)))
    near = Cohort.open("mslub", root=tmp_path)
    assert [entry.key for entry in near] == [
        f"coregistered/patient07/{name}" for name in ("FLAIR", "T1W", "T2W")
    ]
    assert near[0].read().roi.any()
    assert any("MNI left out" in warning for warning in near.warnings)
    standard = Cohort.open("mslub", root=tmp_path / "MNI")
    assert [entry.modality[0] for entry in standard] == ["FLAIR", "T1CE", "T1", "T2"]
    assert all(entry.read().lesions.sum() == 8 for entry in standard)


def test_stroke_scans_with_empty_masks_are_healthy_in_all_channels(tmp_path):
    plant(tmp_path, TREES["isles2022"])
    mask = next(path for path in TREES["isles2022"].masks if "0002" in path)
    save(tmp_path / mask, drawn(()))
    cohort = Cohort.open("isles2022", root=tmp_path)
    healthy = cohort.select(label="healthy")
    assert healthy.subjects == ("sub-strokecase0002",)
    assert len(healthy) == 3
    # What a mask that cannot be read would mark is not known.
    (tmp_path / mask).write_bytes(b"broken")
    assert len(Cohort.open("isles2022", root=tmp_path).select(label="healthy")) == 0


def test_patients_without_a_mask_are_not_healthy(tmp_path):
    plant(tmp_path, TREES["brats2020"])
    cohort = Cohort.open("brats2020", root=tmp_path, where=["part=validation"])
    assert {(entry.label, entry.mask_path) for entry in cohort} == {("anomalous", None)}


def test_a_second_copy_of_a_scan_is_left_out(tmp_path):
    plant(tmp_path, TREES["brats2021"])
    save(tmp_path / "other/BraTS2021_00000/BraTS2021_00000_flair.nii.gz", head(5))
    cohort = Cohort.open("brats2021", root=tmp_path)
    assert len(cohort) == 8
    assert any("1 image left out" in warning and "other/" in warning for warning in cohort.warnings)


def test_of_several_masks_the_nearest_is_taken(tmp_path):
    """The longitudinal part of MSLUB has patients and brain masks of the same names."""
    for folder in ("a_longitudinal", "cross_sectional"):
        save(tmp_path / folder / "coregistered/patient07/brainmask.nii.gz", (head(0) > 0).astype(np.uint8))
    save(tmp_path / "cross_sectional/coregistered/patient07/FLAIR.nii.gz", head(0))
    (entry,) = Cohort.open("mslub", root=tmp_path)
    assert entry.roi_path == tmp_path / "cross_sectional/coregistered/patient07/brainmask.nii.gz"


def test_errors(tmp_path, refuses):
    refuses(lambda: Cohort.open("ixy", root=tmp_path), "ixy", *NAMES)
    refuses(lambda: Cohort.open("ixi"), "ixi", "--root")
    refuses(lambda: Cohort.open("no-such-thing"), "no such file or folder")
    refuses(lambda: Cohort.open("ixi", root=tmp_path / "nowhere"), "nowhere", "no such folder")
    refuses(lambda: Cohort.open("ixi", root=tmp_path), tmp_path, "IXI-T1/IXI002-Guys-0828-T1.nii.gz")
    save(tmp_path / "IXI002-Guys-0828-DTI-00.nii.gz", head(0))
    refuses(lambda: Cohort.open("ixi", root=tmp_path), "holds nothing of IXI")
    refuses(lambda: Cohort.open("ixi", root=tmp_path, where=["site=Bart"]), "holds nothing of IXI")


def test_a_folder_of_the_same_name_is_opened_as_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "ixi/anna.nii.gz", head(0))
    assert [entry.key for entry in Cohort.open("ixi")] == ["anna"]


def test_names_in_any_case(tmp_path):
    plant(tmp_path, TREES["ixi"])
    assert Cohort.open("IXI", root=tmp_path).digest == Cohort.open("ixi", root=tmp_path).digest


@pytest.mark.real
def test_real_scans_under_the_names_of_their_providers(real_data, tmp_path):
    for folder in sorted((real_data / "mslub").iterdir()):
        for path in sorted(folder.iterdir()):
            name = path.name.removesuffix(".nii.gz")
            theirs = (
                "GOLD_STANDARD_N4_noneck_reduced_winsor_regtoFLAIR_regtoMNI"
                if name == "lesion_mask"
                else f"{name}_N4_noneck_reduced_winsor_regtoFLAIR_brain_N4_regtoMNI"
            )
            link = tmp_path / "cross_sectional/MNI" / folder.name / f"{theirs}.nii.gz"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
    cohort = Cohort.open("mslub", root=tmp_path, channels=["FLAIR", "T1", "T2"])
    lesions = {entry.subject: int(entry.read().lesions.sum()) for entry in cohort}
    assert lesions == {"patient07": 1300, "patient26": 8227}
