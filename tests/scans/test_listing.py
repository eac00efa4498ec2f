"""Folders written down as manifests, and manifests whose images lie elsewhere."""

from __future__ import annotations

import csv
import json
import zlib

import numpy as np
import pytest
from PIL import Image
from tests import bids, public_trees
from tests.cli.conftest import unlesion  # noqa: F401
from tests.dicoms import head, save, series_of

from unlesion.errors import BadInput
from unlesion.scans import Cohort
from unlesion.scans.listing import write_listing


def bids_dataset(tmp_path):
    root = bids.describe(tmp_path / "bids")
    for person in ("01", "02"):
        for contrast in ("T1w", "FLAIR"):
            bids.image(root / f"sub-{person}" / "anat" / f"sub-{person}_{contrast}.nii.gz")
    bids.participants(root, participant_id=["sub-01", "sub-02"], group=["control", "patient"])
    derived = bids.describe(root / "derivatives" / "masks")
    bids.mask(derived / "sub-02" / "anat" / "sub-02_label-lesion_mask.nii.gz")
    return root


def public_tree(tmp_path):
    return public_trees.plant(tmp_path / "brats", public_trees.TREES["brats2020"])


def rows_of(path):
    with path.open(newline="") as stream:
        return {row["path"]: row for row in csv.DictReader(stream)}


def draw(path, *, mask=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(zlib.crc32(path.name.encode())).integers(1, 255, (32, 32), dtype=np.uint8)
    if mask is not None:
        pixels = np.zeros((32, 32), np.uint8)
        pixels[:mask, :mask] = 255
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "data"
    draw(root / "anna" / "anna_T1.png")
    draw(root / "anna" / "anna_FLAIR.png")
    draw(root / "anna" / "seg.png", mask=4)
    draw(root / "ben" / "T1w.png")
    draw(root / "ben" / "T1w_lesion_mask.png", mask=0)
    draw(root / "ben" / "T2w.png")
    draw(root / "cleo.png")
    return root


def test_a_plain_folder_is_guessed_from_names(folder):
    said = write_listing(Cohort.open(folder), folder / "manifest.csv")
    rows = rows_of(folder / "manifest.csv")
    assert {path: (row["mask_path"], row["modality"]) for path, row in rows.items()} == {
        # The mask of her folder.
        "anna/anna_FLAIR.png": ("anna/seg.png", "FLAIR"),
        "anna/anna_T1.png": ("anna/seg.png", "T1"),
        # The mask says which contrast it is of.
        "ben/T1w.png": ("ben/T1w_lesion_mask.png", "T1"),
        "ben/T2w.png": ("", "T2"),
        # At the top everybody lies together: somebody else's mask is not hers.
        "cleo.png": ("", ""),
    }
    assert said == [
        "modality guessed from the names of 4 of 5 images",
        "1 image without a known modality beside others, the first cleo.png: a mask, perhaps",
        "2 files named like masks of lesions: given to 3 images",
    ]
    opened = Cohort.open(folder)
    assert [entry.subject for entry in opened] == ["anna", "anna", "ben", "ben", "cleo"]
    # As masks say: his is empty.
    assert [entry.label for entry in opened] == ["anomalous"] * 2 + ["healthy"] * 3
    assert all(entry.read().voxels.shape[1:3] == (32, 32) for entry in opened)


@pytest.mark.parametrize(
    ("images", "masks", "given"),
    [
        # One folder for all, the contrast in the image's name alone.
        (["p1_flair", "p2_flair"], ["p1_seg"], {"p1_flair": "p1_seg"}),
        # Images and masks in folders of their own.
        (["images/p1", "images/p2"], ["masks/p2_mask"], {"images/p2": "masks/p2_mask"}),
        # Somebody's mask is not everybody's, though it is the only one there.
        (["train/p1", "train/p2"], ["train/p2_mask"], {"train/p2": "train/p2_mask"}),
        # The same names in every patient's folder say nothing across folders.
        (["a/head", "b/head"], ["c/head_mask"], {}),
        (
            ["a/x_t1", "a/x_t2"],
            ["a/x_t2_seg", "a/x_t1_seg"],
            {"a/x_t1": "a/x_t1_seg", "a/x_t2": "a/x_t2_seg"},
        ),
        # Two that would fit: neither.
        (["a/x"], ["a/mask", "a/seg"], {}),
        # Of the tumour, not of the brain; of which, nobody knows.
        (["a/flair"], ["a/brain_tumor_seg"], {"a/flair": "a/brain_tumor_seg"}),
        (["a/flair"], ["a/brain_seg"], {}),
    ],
)
def test_whose_a_mask_is(tmp_path, images, masks, given):
    root = tmp_path / "data"
    for name in images:
        draw(root / f"{name}.png")
    for name in masks:
        draw(root / f"{name}.png", mask=3)
    said = write_listing(Cohort.open(root), tmp_path / "m.csv")
    rows = rows_of(tmp_path / "m.csv")
    assert set(rows) == {f"{name}.png" for name in images}
    assert {p: row["mask_path"] for p, row in rows.items() if row["mask_path"]} == {
        f"{image}.png": f"{mask}.png" for image, mask in given.items()
    }
    lost = len(masks) - len(given)
    # What a folder of masks is for it says itself, before anybody guesses from names (test_sorted_folder.py).
    sorted_by_hand = any(name.startswith(("masks/", "train/")) for name in masks)
    assert (
        ("label" in next(iter(rows.values())) and not sorted_by_hand)
        == bool(lost)
        == any("names do not tell" in line for line in said)
    )
    if lost:
        # Nobody passes for healthy whose mask was not found.
        assert {row["label"] for row in rows.values() if not row["mask_path"]} == {""}
        with pytest.raises(BadInput, match="label"):
            Cohort.open(tmp_path / "m.csv", root=root)
    else:
        opened = Cohort.open(tmp_path / "m.csv", root=root)
        assert {entry.key for entry in opened if entry.label == "anomalous"} >= set(given)


def test_at_the_top_contrasts_of_a_person_are_one_person(tmp_path):
    root = tmp_path / "data"
    for name in ("p01_flair", "p01_t1", "p02-flair", "p02-t1", "T1"):
        draw(root / f"{name}.png")
    draw(root / "p01_flair_mask.png", mask=3)
    write_listing(Cohort.open(root), root / "manifest.csv")
    opened = Cohort.open(root)
    assert [(entry.subject, entry.label) for entry in opened] == [
        ("T1", "healthy"),
        ("p01", "anomalous"),
        # Another contrast of him, which shows the same lesion.
        ("p01", "anomalous"),
        ("p02", "healthy"),
        ("p02", "healthy"),
    ]


def test_masks_of_brains_are_regions(tmp_path):
    root = tmp_path / "data"
    for person in ("anna", "ben"):
        draw(root / person / "T1.png")
        draw(root / person / "T1_brain_mask.png", mask=20)
    draw(root / "ben" / "lesion.png", mask=3)
    said = write_listing(Cohort.open(root), root / "manifest.csv")
    assert "2 files named like masks of brain: given to 2 images" in said
    anna, ben = Cohort.open(root)
    assert (anna.label, anna.mask_path, anna.roi_path) == (
        "healthy",
        None,
        root / "anna" / "T1_brain_mask.png",
    )
    assert (ben.label, ben.mask_path, ben.roi_path) == (
        "anomalous",
        root / "ben" / "lesion.png",
        root / "ben" / "T1_brain_mask.png",
    )


def test_regions_of_interest_are_lesions_to_nobody(tmp_path):
    """Beside masks a "roi" outlines the brain; alone it may outline anything, and somebody has to say so."""
    root = tmp_path / "data"
    for person in ("anna", "ben"):
        draw(root / person / "slice_1.png")
        draw(root / person / "slice_1_roi.png", mask=20)
    write_listing(Cohort.open(root), tmp_path / "alone.csv")
    alone = rows_of(tmp_path / "alone.csv")
    assert {(row["mask_path"], row["label"]) for row in alone.values()} == {("", "")}
    draw(root / "ben" / "slice_1_mask.png", mask=3)
    write_listing(Cohort.open(root), root / "manifest.csv")
    anna, ben = Cohort.open(root)
    assert (anna.label, anna.mask_path, anna.roi_path.name) == ("healthy", None, "slice_1_roi.png")
    assert (ben.label, ben.mask_path.name, ben.roi_path.name) == (
        "anomalous",
        "slice_1_mask.png",
        "slice_1_roi.png",
    )


@pytest.mark.parametrize(
    "name", ["wmh", "T1_gt", "T1_label", "T1_mask2", "T1_annotation", "lesionmap", "tumor"]
)
def test_other_names_of_masks(tmp_path, name):
    root = tmp_path / "data"
    draw(root / "anna" / "T1.png")
    draw(root / "anna" / f"{name}.png", mask=3)
    draw(root / "ben" / "T1.png")
    write_listing(Cohort.open(root), root / "manifest.csv")
    anna, ben = Cohort.open(root)
    assert (anna.mask_path, anna.label, ben.label) == (root / "anna" / f"{name}.png", "anomalous", "healthy")


@pytest.mark.parametrize("kind", ["bids", "public"])
def test_what_knows_more_than_names_is_written_as_it_is(tmp_path, kind):
    if kind == "bids":
        root = bids_dataset(tmp_path)
        before = Cohort.open(root)
    else:
        root = public_tree(tmp_path)
        before = Cohort.open("brats2020", root=root)
    assert write_listing(before, tmp_path / "m.csv") == []
    after = Cohort.open(tmp_path / "m.csv", root=before.root)
    for old, new in zip(before, after, strict=True):
        assert (old.key, old.subject, old.scan_id, old.modality) == (
            new.key,
            new.subject,
            new.scan_id,
            new.modality,
        )
        assert (old.mask_path, old.roi_path, old.label) == (new.mask_path, new.roi_path, new.label)
        assert (old.split, old.mask_values) == (new.split, new.mask_values)


def test_written_elsewhere_it_is_read_with_root(folder, tmp_path):
    listed = tmp_path / "elsewhere" / "m.csv"
    write_listing(Cohort.open(folder), listed)
    with pytest.raises(BadInput, match="no such folder"):
        Cohort.open(listed, root=tmp_path / "nowhere")
    opened = Cohort.open(listed, root=folder, where=["modality=T1"])
    assert [entry.key for entry in opened] == ["anna/anna_T1", "ben/T1w"]
    assert opened.root == folder
    # Where it lies is none of the digest's business.
    write_listing(Cohort.open(folder), folder / "manifest.csv")
    assert opened.digest == Cohort.open(folder, where=["modality=T1"]).digest
    assert opened[0].is_marked() and opened[0].read().lesions is not None


def test_absolute_paths_below_the_folder_are_taken(folder, refuses):
    manifest = folder / "manifest.csv"
    manifest.write_text(f"path,mask_path\n{folder}/anna/anna_T1.png,{folder}/anna/../anna/seg.png\n")
    (entry,) = Cohort.open(manifest)
    assert (entry.key, entry.label, entry.mask_path) == (
        "anna/anna_T1",
        "anomalous",
        folder / "anna" / "seg.png",
    )
    manifest.write_text(f"path\n{folder.parent}/x.png\n")
    refuses(lambda: Cohort.open(manifest), "row 2", "leads out", "--root")
    assert [entry.key for entry in Cohort.open(manifest, root=folder.parent)] == ["x"]


@pytest.fixture
def clinic(tmp_path):
    root = tmp_path / "clinic"
    for number, description in ((3, "AX FLAIR"), (4, "t1 mprage")):
        for again in ("", "again"):
            files = series_of(
                head(),
                series=f"{number}{again}",
                patient="BEN",
                number=number,
                description=description,
            )
            save(files, root / "ben", name=f"{number}{again}_" + "{}")
    # One folder's series alone in it, with another's below.
    save(series_of(head(), series="x", patient="CLEO", description="t2 tse"), root / "cleo")
    save(series_of(head(), series="y", patient="CLEO", description="pd tse"), root / "cleo" / "late")
    return root


def test_a_manifest_names_series_that_share_a_folder(clinic):
    before = Cohort.open(clinic)
    assert [entry.key for entry in before] == [
        "ben/3-AX-FLAIR-1",
        "ben/3-AX-FLAIR-2",
        "ben/4-t1-mprage-1",
        "ben/4-t1-mprage-2",
        "cleo/1-t2-tse",
        "cleo/late",
    ]
    write_listing(before, clinic / "manifest.csv")
    after = Cohort.open(clinic)
    for old, new in zip(before, after, strict=True):
        assert (old.key, old.subject, old.modality) == (new.key, new.subject, new.modality)
        assert old.images == new.images
    assert "label" not in after[0].columns


def test_a_series_beside_masks_keeps_them(clinic):
    draw(clinic / "cleo" / "late" / "seg.png", mask=3)
    draw(clinic / "dora" / "T1.png")
    said = write_listing(Cohort.open(clinic), clinic / "m.csv")
    rows = rows_of(clinic / "m.csv")
    assert rows["cleo/late"]["mask_path"] == "cleo/late/seg.png" and rows["cleo/late"]["modality"] == "PD"
    assert rows["dora/T1.png"]["modality"] == "T1" and "cleo/late/seg.png" not in rows
    assert any(line.startswith("modality guessed from the names of 1 of") for line in said)


def test_a_series_that_is_not_there_is_one_bad_row(clinic, tmp_path, monkeypatch):
    manifest = clinic / "manifest.csv"
    manifest.write_text("path\ncleo/late\ncleo/latest\n")
    good, bad = Cohort.open(manifest)
    assert good.images and good.read().voxels.size
    with pytest.raises(BadInput, match="latest"):
        bad.read()
    # What lies outside is not even looked at.
    for outside in (tmp_path.parent / "elsewhere", "../elsewhere"):
        (tmp_path / "m.csv").write_text(f"path\n{outside}\n")
        with pytest.raises(BadInput, match="leads out"):
            Cohort.open(tmp_path / "m.csv", root=clinic)

    def closed(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr("unlesion.scans.formats.dicom.files_below", closed)
    with pytest.raises(BadInput, match="permissions"):
        Cohort.open(manifest)


def test_the_verb(folder, tmp_path, unlesion):  # noqa: F811
    out = tmp_path / "m.csv"
    said = unlesion("manifest", folder, "--out", out)
    assert said.code == 0, said.err
    assert "5 images of 3 subjects" in said.err and f"--root {folder}" in said.err
    # That names tell contrasts apart need not be said where that is mended.
    assert "takes all for one kind" not in said.err and said.err.count("modality guessed") == 1
    assert "overwrite" in unlesion("manifest", folder, "--out", out).complaint
    assert unlesion("manifest", folder, "--out", out, "--overwrite", "--quiet").code == 0
    assert ".csv" in unlesion("manifest", folder, "--out", tmp_path / "x").complaint
    examined = unlesion("doctor", out, "--root", folder, "--json", "--quiet")
    codes = [finding["code"] for finding in json.loads(examined.out)]
    # All files are found; their names tell contrasts apart, which it says of the table.
    assert codes and not any(code.startswith(("file.", "image.", "table.")) for code in codes), codes
    found = unlesion("prepare", out, "--root", folder, "--out", tmp_path / "store", "--jobs", 1)
    assert found.code == 0, found.err
    for wrong in ("mm.csv", folder):
        assert "--root" in unlesion("prepare", wrong, "--root", folder, "--out", tmp_path / "no").complaint
    # Written into the folder it is what the folder is read through from now on; with --root a folder with one is taken, too.
    unlesion("manifest", folder, "--out", folder / "manifest.csv")
    assert (
        "move it away"
        in unlesion("manifest", folder, "--out", folder / "manifest.csv", "--overwrite").complaint
    )
    assert len(Cohort.open(folder, root=folder)) == 5


def test_a_store_names_no_files(folder, tmp_path, unlesion):  # noqa: F811
    unlesion("prepare", folder, "--out", tmp_path / "store", "--jobs", 1)
    assert "prepared store" in unlesion("manifest", tmp_path / "store", "--out", tmp_path / "m.csv").complaint
