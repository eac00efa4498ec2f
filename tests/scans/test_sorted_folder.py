"""Folders whose names say what lies in them: parts, labels, masks. Nothing that may be ill passes for healthy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import Command, unlesion
from tests.dicoms import head, save, series_of

from unlesion.errors import BadInput
from unlesion.scans import Cohort
from unlesion.scans.folder_words import Said, said_by
from unlesion.scans.listing import write_listing

__all__ = ["unlesion"]


def write(folder: Path, *names: str) -> Path:
    """Pictures below a folder; masks mark a square, but for those with "empty" in their path."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(1, 255, (32, 32)).astype(np.uint8)
        if any(word in name for word in ("mask", "label", "ground_truth", "seg/", "gt/")):
            pixels = np.zeros((32, 32), np.uint8)
            pixels[8:16, 8:16] = 0 if "empty" in name else 255
        Image.fromarray(pixels).save(path)
    return folder


def rows(cohort: Cohort, *columns: str) -> dict[str, tuple[str | None, ...]]:
    def value(entry, name):
        known = {"split": entry.split, "label": entry.label, "subject": entry.subject}
        return known.get(name, entry.columns.get(name, "")) if name in known else entry.columns.get(name, "")

    return {entry.columns["path"]: tuple(value(entry, name) for name in columns) for entry in cohort}


def labels(folder: Path) -> dict[str, str]:
    return {path: label for path, (label,) in rows(Cohort.open(folder), "label").items()}  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("train", Said(split="train")),
        ("Training_Set", Said(split="train")),
        ("NORMAL", Said(label="healthy")),
        ("healthy-controls", Said(label="healthy")),
        ("no_tumor", Said(label="healthy")),
        ("notumor", Said(label="healthy")),
        ("Ungood", Said(label="anomalous")),
        ("imagesTr", Said(split="train", column="path")),
        ("train_masks", Said(split="train", column="mask_path")),
        ("ground_truth", Said(column="mask_path")),
        ("tumor_mask", Said(column="mask_path")),
        ("brain_masks", Said(column="roi_path")),
        ("roi", Said(column="either")),
        ("masks2", Said(column="either")),
        ("binary_masks", Said(column="either")),
        # Words that say nothing, or nothing alone.
        *[
            (name, Said())
            for name in ("anna", "train_anna", "tumor", "no_contrast", "scan_1", "set", "no", "")
        ],
    ],
)
def test_what_a_name_says(name: str, said: Said) -> None:
    assert said_by(name) == said


def test_images_and_masks_of_the_same_names(tmp_path: Path) -> None:
    images = [f"images/case{number}.png" for number in range(4)]
    folder = write(tmp_path, *images, "masks/case0.png", "masks/case1_mask.png", "masks/empty.png")
    (folder / "masks" / "empty.png").rename(folder / "masks" / "case2.png")
    cohort = Cohort.open(folder)
    assert rows(cohort, "subject", "mask_path", "label") == {
        "images/case0.png": ("case0", "masks/case0.png", "anomalous"),
        "images/case1.png": ("case1", "masks/case1_mask.png", "anomalous"),
        "images/case2.png": ("case2", "masks/case2.png", "healthy"),
        "images/case3.png": ("case3", "", "healthy"),
    }
    assert any("of 4 images: 2 anomalous, 2 healthy; 3 with a mask" in words for words in cohort.warnings)
    assert not any("named like masks" in words for words in cohort.warnings)


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("images/img_001.png", "masks/mask_001.png"),
        ("images/volume-1.png", "masks/segmentation-1.png"),
        ("imagesTr/x_01_0000.png", "labelsTr/x_01.png"),
        ("p01/anat/T1.png", "p01/seg/lesion.png"),
        ("scans/p1_flair.png", "gt/p1.png"),
        ("train_images/a.png", "train_masks/a.png"),
        ("segmentation/images/a.png", "segmentation/masks/a.png"),
        ("malignant/a.png", "malignant/masks/a_mask.png"),
        ("imagesTr/amos_0001_0000.png", "labelsTr/amos_0001.png"),
        ("train/case_0001/case_0001_flair.png", "train/case_0001/case_0001_seg.png"),
    ],
)
def test_a_mask_finds_its_image(tmp_path: Path, image: str, mask: str) -> None:
    found = rows(Cohort.open(write(tmp_path, image, mask)), "mask_path", "label")
    assert found == {image: (mask, "anomalous")}


def test_masks_beside_their_images_in_sorted_folders(tmp_path: Path) -> None:
    write(tmp_path, "normal/n.png", "normal/empty_mask.png", "benign/b.png", "benign/b_mask.png")
    (tmp_path / "normal" / "empty_mask.png").rename(tmp_path / "normal" / "n_mask.png")
    found = rows(Cohort.open(tmp_path), "label", "mask_path")
    assert found["benign/b.png"] == ("anomalous", "benign/b_mask.png")
    assert found["normal/n.png"][0] == "healthy"


def test_parts_with_defects_and_their_truth_apart(tmp_path: Path) -> None:
    """As industrial collections are laid out: numbered anew in every folder, defects by name, no part to calibrate on."""
    train = [f"train/good/{number:03d}.png" for number in range(20)]
    test = ["test/good/000.png", "test/stroke/000.png", "test/stroke/001.png"]
    truth = ["ground_truth/stroke/000_mask.png", "ground_truth/stroke/001_mask.png"]
    cohort = Cohort.open(write(tmp_path, *train, *test, *truth))
    found = rows(cohort, "label", "pathology", "split", "mask_path")
    assert found["test/good/000.png"] == ("healthy", "none", "test", "")
    for number in ("000", "001"):
        mask = f"ground_truth/stroke/{number}_mask.png"
        assert found[f"test/stroke/{number}.png"] == ("anomalous", "stroke", "test", mask)
    parts = [found[path][2] for path in train]
    assert set(parts) == {"train", "val"} and parts.count("val") < 10
    # The same number is not the same person.
    assert len(cohort.subjects) == len(cohort) == 23


def test_images_and_labels_below_every_part(tmp_path: Path) -> None:
    """As collections of medical anomalies are laid out, below a folder of their own name."""
    names = [f"Brain_AD/train/good/{number}.png" for number in range(3)]
    for part in ("valid", "test"):
        for kind in ("good", "Ungood"):
            below = f"Brain_AD/{part}/{kind}"
            names += [f"{below}/img/{part}{kind}.png", f"{below}/label/{part}{kind}.png"]
    found = rows(Cohort.open(write(tmp_path, *names)), "label", "split", "subject", "mask_path")
    assert found["Brain_AD/train/good/1.png"] == ("healthy", "train", "1", "")
    for part, split in (("valid", "val"), ("test", "test")):
        for kind, label in (("good", "healthy"), ("Ungood", "anomalous")):
            name = f"{part}{kind}"
            mask = f"Brain_AD/{part}/{kind}/label/{name}.png"
            assert found[f"Brain_AD/{part}/{kind}/img/{name}.png"] == (label, split, name, mask)
    assert len(found) == 7


def test_chests_packed_twice(tmp_path: Path) -> None:
    names = [
        f"{top}/{part}/{kind}/{kind}{part}.png"
        for top in ("x", "x/x")
        for part in ("train", "test")
        for kind in ("NORMAL", "PNEUMONIA")
    ]
    found = rows(Cohort.open(write(tmp_path, *names)), "label", "pathology", "split")
    for path, (label, pathology, split) in found.items():
        kind = path.split("/")[-2]
        assert label == ("healthy" if kind == "NORMAL" else "anomalous"), path
        assert pathology == ("none" if kind == "NORMAL" else "PNEUMONIA"), path
        assert split in (("train", "val") if "/train/" in path else ("test",))


def test_people_below_the_healthy_and_the_ill(tmp_path: Path) -> None:
    names = [
        f"{kind}/p{number}/{part}.png" for kind in ("Controls", "MS") for number in (1, 2) for part in "ab"
    ]
    found = rows(Cohort.open(write(tmp_path, *names)), "label", "pathology", "subject")
    # Numbered in each group by itself.
    assert found["Controls/p1/a.png"] == found["Controls/p1/b.png"] == ("healthy", "none", "Controls/p1")
    assert found["MS/p2/b.png"] == ("anomalous", "MS", "MS/p2")


def test_the_healthy_and_the_ill_of_one_person(tmp_path: Path) -> None:
    names = ["p1/normal/a.png", "p1/tumor/b.png", "p2/normal/c.png", "p3/tumor/d.png"]
    found = rows(Cohort.open(write(tmp_path, *names)), "label", "subject")
    assert found == {
        "p1/normal/a.png": ("healthy", "p1"),
        "p1/tumor/b.png": ("anomalous", "p1"),
        "p2/normal/c.png": ("healthy", "p2"),
        # Beside nobody healthy, but called like what is.
        "p3/tumor/d.png": ("anomalous", "p3"),
    }


def test_a_mask_of_a_person_serves_all_contrasts(tmp_path: Path) -> None:
    names = ["anna/T1.png", "anna/FLAIR.png", "anna/seg/lesion.png", "ben/T1.png", "ben/brain_masks/T1.png"]
    found = rows(Cohort.open(write(tmp_path, *names)), "mask_path", "roi_path", "label", "subject")
    for contrast in ("T1", "FLAIR"):
        assert found[f"anna/{contrast}.png"] == ("anna/seg/lesion.png", "", "anomalous", "anna")
    assert found["ben/T1.png"] == ("", "ben/brain_masks/T1.png", "healthy", "ben")
    # A mask drawn on one contrast is not another's, but the person is ill.
    names = ["anna/T1.png", "anna/FLAIR.png", "anna/seg/FLAIR_seg.png"]
    found = rows(Cohort.open(write(tmp_path / "other", *names)), "mask_path", "label")
    assert found["anna/FLAIR.png"] == ("anna/seg/FLAIR_seg.png", "anomalous")
    assert found["anna/T1.png"] == ("", "anomalous")


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


def test_parts_alone_leave_all_healthy(tmp_path: Path) -> None:
    cohort = Cohort.open(write(tmp_path, "train/a.png", "train/b.png", "test/c.png"))
    assert {entry.label for entry in cohort} == {"healthy"}
    assert all("label" not in entry.columns for entry in cohort)


@pytest.mark.parametrize(
    ("names", "unknown"),
    [
        # Masks that belong to nobody: of any image without one.
        (["images/a.png", "images/b.png", "masks/y.png", "masks/z.png"], {"images/a.png", "images/b.png"}),
        (["images/a.png", "images/b.png", "masks/a.png", "masks/z.png"], {"images/b.png"}),
        # Of two masks of one image nobody knows which holds.
        (["images/a.png", "masks/a.png", "gt/a.png"], {"images/a.png"}),
        # Sorted is only a part of it.
        (["train/NORMAL/a.png", "train/PNEUMONIA/b.png", "test/c.png"], {"test/c.png"}),
        (["healthy/a.png", "ill/b.png", "c.png"], {"c.png"}),
        (["train/images/a.png", "train/masks/a.png", "test/images/b.png"], {"test/images/b.png"}),
        (["train/a.png", "train/b.png", "train/masks/b.png", "test/good/c.png"], {"train/a.png"}),
        (["images/a.png", "masks/a.png", "new/b.png"], {"new/b.png"}),
        (["val/images/a.png", "val/masks/a.png", "test/images/b.png"], {"test/images/b.png"}),
        (["x/images/a.png", "x/masks/a.png", "y/images/b.png"], {"y/images/b.png"}),
        # A mask too many does not spoil those that fit.
        (
            [f"images/case_{n:04d}.png" for n in range(3)] + [f"masks/case_{n:04d}.png" for n in range(5)],
            set(),
        ),
        # Outlines of who knows what.
        (["images/a.png", "roi/a.png"], {"images/a.png"}),
        (["train/images/a.png", "train/masks2/a.png"], {"train/images/a.png"}),
        # Healthy, says the folder; not so, say masks.
        (
            ["normal/p1/T1.png", "normal/p1/seg/l1.png", "normal/p1/seg/l2.png", "normal/p2/T1.png"],
            {"normal/p1/T1.png"},
        ),
        (["normal/p1/T1.png", "normal/p1/FLAIR.png", "normal/p1/seg/FLAIR_seg.png"], {"normal/p1/T1.png"}),
    ],
)
def test_what_nobody_speaks_of_is_unknown(
    tmp_path: Path, unlesion: Command, names: list[str], unknown: set[str]
) -> None:
    data = write(tmp_path / "data", *names)
    cohort = Cohort.open(data)
    if not unknown:
        assert not any("neither folders" in words for words in cohort.warnings)
        assert len(cohort.labelled()) == len(cohort)
        return
    assert {path for path, label in labels(data).items() if label == "unknown"} == unknown
    told = [words for words in cohort.warnings if "neither folders nor masks say" in words]
    assert len(told) == 1 and f"the first {min(unknown)}" in told[0]
    # Nothing learns from them, calibrates on them or measures them; and a manifest asks.
    assert not unknown & {entry.columns["path"] for entry in cohort.select(label="healthy")}
    if len(unknown) == len(cohort):
        with pytest.raises(BadInput, match="unlesion manifest"):
            cohort.labelled()
        said = unlesion("train", data, "--method", "atlas", "--out", tmp_path / "run")
        assert said.code == 2 and not (tmp_path / "run" / "detector.json").exists()
    else:
        assert len(cohort.labelled()) == len(cohort) - len(unknown)
    write_listing(cohort, data / "manifest.csv")
    with pytest.raises(BadInput, match="label '' is unknown"):
        Cohort.open(data)


def test_annotations_that_cannot_be_read_are_masks_of_somebody(tmp_path: Path) -> None:
    write(tmp_path, "train/images/a.png", "train/images/b.png")
    (tmp_path / "train" / "labels").mkdir()
    (tmp_path / "train" / "labels" / "a.txt").write_text("0 0.5 0.5 0.1 0.1")
    assert set(labels(tmp_path).values()) == {"unknown"}


def test_contrasts_of_a_person_in_one_folder(tmp_path: Path) -> None:
    """The mask lies on one of them; the person is ill in all."""
    names = ["images/p1_T1.png", "images/p1_FLAIR.png", "masks/p1_FLAIR_mask.png", "images/p2_T1.png"]
    found = rows(Cohort.open(write(tmp_path, *names)), "label", "subject", "mask_path")
    assert found["images/p1_T1.png"] == ("anomalous", "p1", "")
    assert found["images/p1_FLAIR.png"] == ("anomalous", "p1", "masks/p1_FLAIR_mask.png")
    assert found["images/p2_T1.png"] == ("healthy", "p2", "")
    names = ["imagesTr/x_0000.png", "imagesTr/x_0001.png", "labelsTr/x.png"]
    found = rows(Cohort.open(write(tmp_path / "channels", *names)), "label", "subject")
    assert set(found.values()) == {("anomalous", "x")}


def test_a_folder_around_everything_is_nobody(tmp_path: Path) -> None:
    names = ["BUS/images/a.png", "BUS/images/b.png", "BUS/masks/a.png"]
    found = rows(Cohort.open(write(tmp_path, *names)), "label", "subject")
    assert found == {"BUS/images/a.png": ("anomalous", "a"), "BUS/images/b.png": ("healthy", "b")}
    names = ["all/p1/T1.png", "all/p1/seg/lesion.png", "all/p2/T1.png"]
    found = rows(Cohort.open(write(tmp_path / "other", *names)), "label", "subject")
    assert found == {"all/p1/T1.png": ("anomalous", "p1"), "all/p2/T1.png": ("healthy", "p2")}


def test_people_of_one_name_in_two_parts(tmp_path: Path) -> None:
    names = [f"{part}/p{number}/a.png" for part in ("train", "test") for number in range(3)]
    cohort = Cohort.open(write(tmp_path, *names, "train/p9/a.png"))
    assert len(cohort.subjects) == 7
    assert any("3 names of people in several parts, the first p0" in words for words in cohort.warnings)
    assert {entry.split for entry in cohort} == {"train", "val", "test"}


def test_a_training_part_sorted_by_people_beside_a_sorted_test(tmp_path: Path) -> None:
    names = ["train/p1/T1.png", "train/p2/T1.png", "test/good/a.png", "test/stroke/b.png"]
    found = rows(Cohort.open(write(tmp_path, *names)), "label", "subject", "pathology")
    assert found["train/p1/T1.png"] == ("healthy", "p1", "")
    assert found["test/stroke/b.png"] == ("anomalous", "b", "stroke")


def test_numbered_masks_of_one_image(tmp_path: Path) -> None:
    names = ["normal/n.png", "benign/b.png", "benign/b_mask.png", "benign/b_mask_1.png"]
    found = rows(Cohort.open(write(tmp_path, *names)), "label", "mask_path")
    # One of them would leave the other lesion out.
    assert found == {"normal/n.png": ("healthy", ""), "benign/b.png": ("anomalous", "")}


def test_an_unsorted_training_part_is_healthy(tmp_path: Path) -> None:
    found = labels(write(tmp_path, "train/a.png", "train/b.png", "test/good/c.png", "test/bad/d.png"))
    assert found == {
        "train/a.png": "healthy",
        "train/b.png": "healthy",
        "test/good/c.png": "healthy",
        "test/bad/d.png": "anomalous",
    }


def test_series_in_sorted_folders(tmp_path: Path) -> None:
    for number, folder in enumerate(("healthy/p1", "healthy/p2", "ill", "masks")):
        save(series_of(head(), patient=f"P{number}"), tmp_path / folder)
    cohort = Cohort.open(tmp_path)
    assert {entry.label for entry in cohort} == {"healthy", "anomalous"}
    assert sum(entry.label == "healthy" for entry in cohort) == 2
    assert sum(entry.label == "anomalous" for entry in cohort) == 1
    assert any("1 mask of which names do not tell the image" in words for words in cohort.warnings)


def test_series_of_nobody_are_told_apart_by_folders(tmp_path: Path) -> None:
    for number, folder in enumerate(("healthy/p01", "healthy/p02", "ill/p03")):
        save(series_of(head(), patient="", series=f"s{number}", study=f"s{number}"), tmp_path / folder)
    assert {entry.subject for entry in Cohort.open(tmp_path)} == {"p01", "p02", "p03"}


def test_results_among_series_are_no_scans_and_series_stay(tmp_path: Path) -> None:
    save(series_of(head()), tmp_path / "p1")
    (tmp_path / "p1" / "anomaly.nii.gz").write_bytes(b"a map")
    (tmp_path / "p1" / "detection.json").write_text('{"files": ["anomaly.nii.gz"]}')
    (entry,) = Cohort.open(tmp_path)
    assert entry.is_dicom


def test_such_a_folder_is_learnt_from_and_evaluated(tmp_path: Path, unlesion: Command) -> None:
    names = [f"train/good/{number}.png" for number in range(8)]
    names += [f"test/{kind}/{kind}{number}.png" for kind in ("good", "sick") for number in range(3)]
    names += [f"test/masks/sick{number}.png" for number in range(3)] + ["test/unsorted.png"]
    data, run, out = write(tmp_path / "data", *names), tmp_path / "run", tmp_path / "out"
    words = ["--method", "intensity", "--set", "recipe.size=32", "--jobs", 1, "--out", run]
    said = unlesion("train", data, *words)
    assert said.code == 0 and "read from the names of folders" in said.err
    assert unlesion("evaluate", run, data, "--jobs", 1, "--out", out).code == 0
    with (out / "scans.csv").open() as stream:
        lines = stream.read()
    assert lines.count(",anomalous,") == 3 and "unsorted" not in lines
    # What is detected needs no label; masks are no scans, nor is what detection writes beside its scans.
    for _ in range(2):
        found = unlesion("detect", run, data, "--jobs", 1, "--out", data)
        assert found.code == 0 and (data / "test" / "unsorted" / "anomaly.npy").exists()
        assert not (data / "test" / "masks" / "sick0").exists()
        assert len(Cohort.open(data)) == 15
