"""One person on many scanners."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from unlesion.errors import BadInput
from unlesion.phantom import MODALITIES, SCANNERS, write_cohort, write_grid
from unlesion.phantom.person import draw_person
from unlesion.phantom.scanner import fixed_scanner
from unlesion.scans import Cohort

SUBJECTS = 3


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_grid(SUBJECTS, tmp_path_factory.mktemp("grid"), seed=4, spacing_mm=4)


def rows(manifest: Path) -> list[dict[str, str]]:
    with manifest.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@cache
def voxels(path: Path) -> NDArray[np.float64]:
    return np.asarray(nibabel.load(path).dataobj, dtype=np.float64)


def test_every_subject_is_there_sixteen_times_in_one_split(manifest: Path) -> None:
    of = {subject: [row for row in rows(manifest) if row["subject"] == subject] for subject in
          {row["subject"] for row in rows(manifest)}}  # fmt: skip
    assert len(of) == SUBJECTS
    for images in of.values():
        assert {(row["site"], row["modality"]) for row in images} == {
            (site, name) for site in SCANNERS for name in MODALITIES
        }
        for column in ("split", "mask_path", "roi_path", "age", "pathology", "size_ml"):
            assert len({row[column] for row in images}) == 1
    cohort = Cohort.open(manifest, channels=("FLAIR", "T1"))
    assert len(cohort) == SUBJECTS * len(SCANNERS)
    sick = cohort.select(label="anomalous").entries[0].read()
    assert sick.twin is not None and sick.lesions is not None and sick.lesions.any()


def test_anatomy_is_one_and_pictures_are_sixteen(manifest: Path) -> None:
    images = [row for row in rows(manifest) if row["label"] == "anomalous"]
    roi = voxels(manifest.parent / images[0]["roi_path"]) > 0
    seen = [voxels(manifest.parent / row["twin_path"]) for row in images]
    for image in seen:
        np.testing.assert_array_equal(image > 0, roi)
    for name in MODALITIES:
        same = [image[roi] for image, row in zip(seen, images, strict=True) if row["modality"] == name]
        likeness = np.corrcoef(same)
        # The same brain, and yet never the same picture.
        assert likeness.min() > 0.6
        assert likeness[np.triu_indices(len(same), 1)].max() < 0.9999


def test_the_grid_shows_the_people_of_the_cohort(manifest: Path, tmp_path: Path) -> None:
    plain = rows(write_cohort(SUBJECTS, tmp_path, seed=4, spacing_mm=4))
    first = {row["subject"]: row for row in rows(manifest)}
    for row in plain:
        twin = first[row["subject"]]
        for column in ("split", "pathology", "age", "sex", "size_ml"):
            assert row[column] == twin[column]
        if row["mask_path"]:
            np.testing.assert_array_equal(
                voxels(tmp_path / row["mask_path"]), voxels(manifest.parent / twin["mask_path"])
            )


def test_a_second_call_keeps_what_is_there(manifest: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in manifest.parent.rglob("*.nii.gz")}
    write_grid(SUBJECTS, manifest.parent, seed=4, spacing_mm=4)
    assert {path: path.stat().st_mtime_ns for path in manifest.parent.rglob("*.nii.gz")} == before


def test_scanners_do_what_their_names_say() -> None:
    person = draw_person(3, spacing_mm=4.0)
    roi = person.anatomy.brain
    inner = roi & np.roll(roi, 1, 2) & np.roll(roi, -1, 2)
    steep = {}
    for name in SCANNERS:
        image, twin = person.scan("T1", fixed_scanner(name, "T1"), "T1", name)
        np.testing.assert_array_equal(image, twin)
        across = np.abs(np.diff(image, axis=2))[inner[:, :, 1:]].mean()
        steep[name] = across / image[roi].mean()
    assert steep["1.5T-thick"] < 0.8 * min(steep["3T"], steep["1.5T"])


@pytest.mark.parametrize("wrong", [{"scanners": ("7T",)}, {"scanners": ()}, {"modality": "CT"}, {"n": 0}])
def test_unknown_settings_are_named(wrong: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"choose|1 or more"):
        write_grid(**({"n": 1, "out": tmp_path, "spacing_mm": 4} | wrong))  # type: ignore[arg-type]
