"""Folders written down as manifests, and manifests whose images lie elsewhere."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import unlesion  # noqa: F401
from tests.dicoms import head, save, series_of

from unlesion.errors import BadInput
from unlesion.scans import Cohort
from unlesion.scans.listing import write_manifest


def rows_of(path):
    with path.open(newline="") as stream:
        return {row["path"]: row for row in csv.DictReader(stream)}


def draw(path, *, mask=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(str(path))).integers(1, 255, (32, 32), dtype=np.uint8)
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
    draw(root / "dora_mask.png", mask=3)
    return root


def test_a_plain_folder_is_guessed_from_names(folder, tmp_path):
    said = write_manifest(Cohort.open(folder), folder / "manifest.csv")
    rows = rows_of(folder / "manifest.csv")
    assert {path: (row["mask_path"], row["modality"], row["label"]) for path, row in rows.items()} == {
        # The only mask of her folder.
        "anna/anna_FLAIR.png": ("anna/seg.png", "FLAIR", "anomalous"),
        "anna/anna_T1.png": ("anna/seg.png", "T1", "anomalous"),
        # The mask of the same name; empty, so he is healthy. For lack of another, of T2 as well.
        "ben/T1w.png": ("ben/T1w_lesion_mask.png", "T1", "healthy"),
        "ben/T2w.png": ("ben/T1w_lesion_mask.png", "T2", "healthy"),
        # At the top everybody lies together: somebody else's mask is not hers.
        "cleo.png": ("", "", "healthy"),
    }
    assert said == [
        "modality guessed from the names of 4 of 5 images",
        "3 files named like masks: given to 4 images, of which 2 are anomalous; of no image, left out: 1",
    ]
    opened = Cohort.open(folder)
    assert [entry.subject for entry in opened] == ["anna", "anna", "ben", "ben", "cleo"]
    assert all(entry.read().voxels.shape[1:3] == (32, 32) for entry in opened)


def test_written_elsewhere_it_is_read_with_root(folder, tmp_path):
    listed = tmp_path / "elsewhere" / "m.csv"
    write_manifest(Cohort.open(folder), listed)
    with pytest.raises(BadInput, match="no such folder"):
        Cohort.open(listed, root=tmp_path / "nowhere")
    opened = Cohort.open(listed, root=folder, where=["modality=T1"])
    assert [entry.key for entry in opened] == ["anna/anna_T1", "ben/T1w"]
    assert opened.root == folder
    # Where it lies is none of the digest's business.
    write_manifest(Cohort.open(folder), folder / "manifest.csv")
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


def test_a_manifest_names_series_that_share_a_folder(tmp_path):
    root = tmp_path / "clinic"
    for number, description in ((3, "AX FLAIR"), (4, "t1 mprage"), (4, "t1 mprage")):
        name = f"{number}{description}"
        files = series_of(head(), series=name, patient="BEN", number=number, description=description)
        save(files, root / "ben", name=f"{number}_" + "{}")
    before = Cohort.open(root)
    assert len(before) > 1
    write_manifest(before, root / "manifest.csv")
    after = Cohort.open(root)
    assert (root / "manifest.csv").exists()
    for old, new in zip(before, after, strict=True):
        assert (old.key, old.series, old.subject, old.modality) == (
            new.key,
            new.series,
            new.subject,
            new.modality,
        )
    np.testing.assert_array_equal(before[0].read().voxels, after[0].read().voxels)


def test_the_verb(folder, tmp_path, unlesion):  # noqa: F811
    out = tmp_path / "m.csv"
    said = unlesion("manifest", folder, "--out", out)
    assert said.code == 0, said.err
    assert "5 images of 3 subjects, 2 anomalous" in said.err and f"--root {folder}" in said.err
    # That names tell contrasts apart need not be said where that is mended.
    assert "takes all for one kind" not in said.err and said.err.count("modality guessed") == 1
    assert "overwrite" in unlesion("manifest", folder, "--out", out).complaint
    assert unlesion("manifest", folder, "--out", out, "--overwrite", "--quiet").code == 0
    assert ".csv" in unlesion("manifest", folder, "--out", tmp_path / "x").complaint
    assert unlesion("doctor", out, "--root", folder, "--quiet").code in (0, 2)
    found = unlesion("prepare", out, "--root", folder, "--out", tmp_path / "store", "--jobs", 1)
    assert found.code == 0, found.err


def test_a_store_names_no_files(folder, tmp_path, unlesion):  # noqa: F811
    unlesion("prepare", folder, "--out", tmp_path / "store", "--jobs", 1)
    assert "prepared store" in unlesion("manifest", tmp_path / "store", "--out", tmp_path / "m.csv").complaint
