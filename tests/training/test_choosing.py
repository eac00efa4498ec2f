"""What a training learns from."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cohorts import write_pictures
from unlesion.cli.app import run as command
from unlesion.errors import BadInput
from unlesion.files import read_json
from unlesion.methods.registry import get_method
from unlesion.prepare import PreparedStore, load_recipe, prepare_cohort, store_cohort
from unlesion.scans import Cohort
from unlesion.training import train
from unlesion.training.choosing import (
    healthy_rows,
    mixed_modalities,
    recipe_for,
    taken_for_healthy,
    without_effect,
)


def write_rows(manifest: Path, rows: list[dict[str, str]]) -> None:
    with manifest.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def with_lesions(tmp_path: Path) -> Path:
    """A cohort whose scans with a lesion are of splits train and val, and are called healthy."""
    manifest = write_pictures(tmp_path / "cohort", train=5, val=3, healthy=0, anomalous=4)
    with manifest.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for number, row in enumerate(row for row in rows if row["label"] == "anomalous"):
        row.update(label="healthy", split="val" if number == 0 else "train")
    write_rows(manifest, rows)
    return manifest


def test_scans_with_a_lesion_mask_are_not_learnt_as_healthy(with_lesions: Path, tmp_path: Path) -> None:
    warned: list[str] = []
    options = {"method": "dae", "preset": "tiny", "steps": 2, "device": "cpu", "warn": warned.append}
    detector = train(with_lesions, out=tmp_path / "run", **options)
    assert detector.record["healthy_scans"] == 5
    assert detector.calibrations["native"].n_subjects == 3
    assert detector.record["left_out"] == 4
    assert sum("labelled healthy, but its mask marks a lesion" in words for words in warned) == 4
    words = ["prepare", with_lesions, "--recipe", "slices", "--out", tmp_path / "store", "--jobs", 1]
    assert command([str(word) for word in words]) == 0
    stored = PreparedStore.open(tmp_path / "store")
    again = train(tmp_path / "store", out=tmp_path / "again", store=stored, **options)
    assert again.record["healthy_scans"] == 5
    assert sum(entry.is_marked() for entry in store_cohort(tmp_path / "store")) == 4


def test_one_person_is_too_few_whichever_split_it_falls_into(tmp_path: Path) -> None:
    """A single scan in a folder was said to lack a split, which folders do not have."""
    manifest = write_pictures(tmp_path / "cohort", train=0, val=0, healthy=1, anomalous=0)
    with pytest.raises(BadInput, match="only one healthy subject"):
        healthy_rows(Cohort.open(manifest).with_splits(), warn=print)


def test_without_labels_the_masks_say_who_is_healthy(with_lesions: Path, tmp_path: Path) -> None:
    with with_lesions.open(newline="") as stream:
        rows = [{k: v for k, v in row.items() if k != "label"} for row in csv.DictReader(stream)]
    write_rows(with_lesions, rows)
    words = ["train", with_lesions, "--method", "dae", "--preset", "tiny", "--steps", 2, "--device", "cpu"]
    assert command([str(word) for word in [*words, "--jobs", 1, "--quiet", "--out", tmp_path / "run"]]) == 0
    record = read_json(tmp_path / "run" / "detector.json")["record"]
    assert (record["healthy_scans"], record["left_out"]) == (5, 0)


def test_nothing_healthy_is_left(with_lesions: Path) -> None:
    cohort = Cohort.open(with_lesions, where=["split=train", "pathology=blob"])
    with pytest.raises(BadInput, match="correct the labels or the masks"):
        healthy_rows(cohort, lambda message: None)


def test_a_store_of_another_size_than_the_preset_is_told(pictures: Path, tmp_path: Path) -> None:
    cohort = Cohort.open(pictures)
    store, _ = prepare_cohort(cohort, load_recipe("slices", {"size": 32}), tmp_path / "store")
    told: list[str] = []
    warned: list[str] = []

    def chosen(image_size: int) -> int:
        return recipe_for(None, cohort, image_size, {}, store, told.append, warned.append).size

    assert chosen(32) == 32
    assert told == warned == []
    assert chosen(128) == 32
    (warning,) = warned
    assert "prepared at 32 pixels" in warning and "recipe.size=128" in warning
    assert chosen(16) == 32
    assert len(warned) == 1 and "made for 16" in told[0]


def test_modalities_that_nobody_tells_apart_are_told(with_lesions: Path) -> None:
    with with_lesions.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for number, row in enumerate(rows):
        row["modality"] = "T1" if number % 2 else "FLAIR"
    write_rows(with_lesions, rows)
    both = Cohort.open(with_lesions)
    vae, ddpm = get_method("vae").Config, get_method("ddpm").Config
    assert "FLAIR, T1" in mixed_modalities(both, vae()) and "method.condition" in mixed_modalities(
        both, vae()
    )
    assert "method.condition" not in mixed_modalities(both, ddpm())
    assert mixed_modalities(both, vae(condition=True)) == ""
    assert mixed_modalities(Cohort.open(with_lesions, where=["modality=T1"]), ddpm()) == ""


def test_augmentation_of_what_learns_no_network_is_said_to_do_nothing() -> None:
    atlas, dae = get_method("atlas"), get_method("dae")
    (said,) = without_effect(atlas, atlas.Config(), {"contrast": 0.5, "mirror": False})
    assert "training.contrast: without effect" in said
    assert (
        without_effect(dae, dae.Config(), {"contrast": 0.5})
        == without_effect(atlas, atlas.Config(), {})
        == []
    )


def test_dicom_that_nobody_called_healthy_is_told(with_lesions: Path) -> None:
    """A folder of an archive holds patients; a manifest's label is somebody's word."""
    entries = tuple(
        replace(entry, columns={**entry.columns, "format": "dicom", "label": ""})
        for entry in Cohort.open(with_lesions)
    )
    silent = replace(Cohort.open(with_lesions), entries=entries)
    assert f"{len(entries)} series are taken for healthy;" in taken_for_healthy(silent)
    labelled = replace(entries[0], columns={"format": "dicom", "label": "healthy"})
    assert taken_for_healthy(replace(silent, entries=(labelled,))) == ""
    assert taken_for_healthy(Cohort.open(with_lesions)) == ""
