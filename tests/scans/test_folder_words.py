"""Folders whose names say what lies in them: parts, labels, masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import Command, unlesion

from unlesion.scans import Cohort

__all__ = ["unlesion"]


def write(folder: Path, *names: str) -> Path:
    """Pictures below a folder; those in folders of masks mark a square, but for names that begin with "empty"."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(1, 255, (32, 32)).astype(np.uint8)
        if any(word in name for word in ("mask", "label", "ground_truth", "seg/")):
            pixels = np.zeros((32, 32), np.uint8)
            pixels[8:16, 8:16] = 0 if "empty" in name else 255
        Image.fromarray(pixels).save(path)
    return folder


def rows(cohort: Cohort, *columns: str) -> dict[str, tuple[str | None, ...]]:
    return {
        entry.columns["path"]: tuple(
            entry.split if name == "split" else entry.label if name == "label" else entry.columns.get(name)
            for name in columns
        )
        for entry in cohort
    }


def test_images_and_masks_of_the_same_names(tmp_path: Path) -> None:
    images = [f"images/case{number}.png" for number in range(4)]
    folder = write(tmp_path, *images, "masks/case0.png", "masks/empty.png", "masks/case1_mask.png")
    (folder / "masks" / "empty.png").rename(folder / "masks" / "case2.png")
    cohort = Cohort.open(folder)
    assert rows(cohort, "subject", "mask_path", "label") == {
        "images/case0.png": ("case0", "masks/case0.png", "anomalous"),
        "images/case1.png": ("case1", "masks/case1_mask.png", "anomalous"),
        "images/case2.png": ("case2", "masks/case2.png", "healthy"),
        "images/case3.png": ("case3", "", "healthy"),
    }
    assert any("of 4 images: 3 with a mask of lesions" in words for words in cohort.warnings)
    assert not any("named like masks" in words for words in cohort.warnings)


def test_parts_with_defects_and_their_truth_apart(tmp_path: Path) -> None:
    """As industrial collections are laid out: numbered anew in every folder, defects by name, no part to calibrate on."""
    train = [f"train/good/{number:03d}.png" for number in range(20)]
    test = ["test/good/000.png", "test/stroke/000.png", "test/stroke/001.png"]
    truth = ["ground_truth/stroke/000_mask.png", "ground_truth/stroke/001_mask.png"]
    cohort = Cohort.open(write(tmp_path, *train, *test, *truth))
    found = rows(cohort, "label", "pathology", "split", "mask_path")
    assert found["test/good/000.png"] == ("healthy", "none", "test", "")
    for number in ("000", "001"):
        truth_path = f"ground_truth/stroke/{number}_mask.png"
        assert found[f"test/stroke/{number}.png"] == ("anomalous", "stroke", "test", truth_path)
    parts = [found[path][2] for path in train]
    assert set(parts) == {"train", "val"} and parts.count("val") < 10
    # The same number is not the same person.
    assert len(cohort.subjects) == len(cohort) == 23


def test_images_and_labels_below_every_part(tmp_path: Path) -> None:
    """As collections for medical anomalies are laid out, below a folder of their own name."""
    names = [f"Brain_AD/train/good/{number}.png" for number in range(3)]
    for part in ("valid", "test"):
        for kind in ("good", "Ungood"):
            names += [
                f"Brain_AD/{part}/{kind}/img/{part}{kind}.png",
                f"Brain_AD/{part}/{kind}/label/{part}{kind}.png",
            ]
    found = rows(Cohort.open(write(tmp_path, *names)), "label", "split", "subject", "mask_path")
    assert found["Brain_AD/train/good/1.png"] == ("healthy", "train", "1", "")
    for part, split in (("valid", "val"), ("test", "test")):
        for kind, label in (("good", "healthy"), ("Ungood", "anomalous")):
            name = f"{part}{kind}"
            mask = f"Brain_AD/{part}/{kind}/label/{name}.png"
            assert found[f"Brain_AD/{part}/{kind}/img/{name}.png"] == (label, split, name, mask)
    assert len(found) == 7


def test_people_below_the_healthy_and_the_ill(tmp_path: Path) -> None:
    names = [
        f"{kind}/p{number}/{part}.png" for kind in ("Controls", "MS") for number in (1, 2) for part in "ab"
    ]
    found = rows(Cohort.open(write(tmp_path, *names)), "label", "pathology", "subject")
    assert found["Controls/p1/a.png"] == found["Controls/p1/b.png"] == ("healthy", "none", "p1")
    assert found["MS/p2/b.png"] == ("anomalous", "MS", "p2")


def test_a_mask_of_a_person_serves_all_contrasts(tmp_path: Path) -> None:
    names = ["anna/T1.png", "anna/FLAIR.png", "anna/seg/lesion.png", "ben/T1.png", "ben/brain_masks/T1.png"]
    found = rows(Cohort.open(write(tmp_path, *names)), "mask_path", "roi_path", "label", "subject")
    for contrast in ("T1", "FLAIR"):
        assert found[f"anna/{contrast}.png"] == ("anna/seg/lesion.png", "", "anomalous", "anna")
    assert found["ben/T1.png"] == ("", "ben/brain_masks/T1.png", "healthy", "ben")


@pytest.mark.parametrize(
    "names",
    [
        ["a.png", "b.png"],
        ["anna/T1.png", "ben/T1.png"],
        # Nothing to learn from: a folder that happens to be called so.
        ["test/anna.png", "new/ben.png"],
        ["masks/a.png", "masks/b.png"],
    ],
)
def test_folders_that_say_nothing(tmp_path: Path, names: list[str]) -> None:
    cohort = Cohort.open(write(tmp_path, *names))
    assert {entry.columns["path"] for entry in cohort} == set(names)
    assert all(set(entry.columns) == {"path", "subject"} for entry in cohort)
    assert {entry.subject for entry in cohort} == {
        name.partition("/")[0].removesuffix(".png") for name in names
    }


def test_masks_of_nobody_leave_images_in_doubt(tmp_path: Path, unlesion: Command) -> None:
    names = [f"images/{name}.png" for name in ("a", "b", "c")]
    names += ["masks/a.png", "masks/z.png", "gt/b.png", "labels/b.png"]
    cohort = Cohort.open(write(tmp_path / "data", *names))
    # Of two masks of one image nobody knows which holds.
    found = rows(cohort, "mask_path", "label", "split")
    assert found.pop("images/a.png")[:2] == ("masks/a.png", "anomalous")
    assert found == {f"images/{name}.png": ("", "healthy", None) for name in ("b", "c")}
    said = [words for words in cohort.warnings if "names do not tell the image" in words]
    assert len(said) == 1 and "3 masks of which names do not tell the image, the first gt/b.png" in said[0]
    refused = unlesion("train", tmp_path / "data", "--method", "atlas", "--out", tmp_path / "run")
    assert refused.code == 2 and not (tmp_path / "run" / "detector.json").exists()
    # A folder that calls them healthy knows better than names.
    names = ["healthy/b.png", "healthy/c.png", "ill/a.png", "masks/a.png", "masks/z.png"]
    cohort = Cohort.open(write(tmp_path / "other", *names))
    found = rows(cohort, "label", "split")
    assert {found[f"healthy/{name}.png"][0] for name in "bc"} == {"healthy"} and found["ill/a.png"][
        0
    ] == "anomalous"
    assert {split for _, split in found.values()} == {"train", "val"}


def test_an_image_with_a_mask_in_a_part_without_labels(tmp_path: Path) -> None:
    names = ["train/a.png", "train/b.png", "train/masks/b.png", "test/good/c.png", "test/bad/d.png"]
    found = rows(Cohort.open(write(tmp_path, *names)), "label", "pathology")
    assert found == {
        "train/a.png": ("healthy", ""),
        "train/b.png": ("anomalous", ""),
        "test/good/c.png": ("healthy", "none"),
        "test/bad/d.png": ("anomalous", "bad"),
    }


def test_such_a_folder_is_learnt_from_and_evaluated(tmp_path: Path, unlesion: Command) -> None:
    names = [f"train/good/{number}.png" for number in range(8)]
    names += [f"test/{kind}/{kind}{number}.png" for kind in ("good", "sick") for number in range(3)]
    names += [f"test/masks/sick{number}.png" for number in range(3)]
    data, run, out = write(tmp_path / "data", *names), tmp_path / "run", tmp_path / "out"
    words = ["--method", "intensity", "--set", "recipe.size=32", "--jobs", 1, "--out", run]
    said = unlesion("train", data, *words)
    assert said.code == 0 and "read from the names of its folders" in said.err
    assert unlesion("evaluate", run, data, "--jobs", 1, "--out", out).code == 0
    with (out / "scans.csv").open() as stream:
        assert sum("anomalous" in line for line in stream) == 3
    found = unlesion("detect", run, data, "--jobs", 1, "--out", tmp_path / "found")
    assert found.code == 0 and not (tmp_path / "found" / "test" / "masks").exists()
