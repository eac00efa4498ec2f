"""What a prepared store remembers of its scans, and what depends on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from tests.cohorts import write_pictures
from unlesion.calibrating import calibrate_detector
from unlesion.errors import BadInput
from unlesion.prepare import PreparedStore, Recipe, gather, item, load_recipe, prepare_cohort, store_cohort
from unlesion.scans import Cohort
from unlesion.training import train


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    return Cohort.open(write_pictures(tmp_path / "cohort", train=3, val=2, healthy=0, anomalous=2))


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe("slices", {"size": 32})


def age(store: Path, *names: str) -> None:
    """Take fields out of the rows of a store, which earlier versions did not write."""
    index = json.loads((store / "index.json").read_text())
    for row in index["scans"]:
        for name in names:
            del row[name]
    (store / "index.json").write_text(json.dumps(index))


@pytest.fixture
def volumes(tmp_path: Path) -> Cohort:
    """Three heads of 80 voxels a side, labelled healthy; the mask of the first marks one voxel, of the second none."""
    rng = np.random.default_rng(0)
    head = sum(axis**2 for axis in np.mgrid[[slice(-1, 1, 80j)] * 3]) < 0.7
    lines = ["path,mask_path,subject,label,split"]
    for number in range(3):
        voxels = np.clip(head * (100 + rng.normal(0, 6, head.shape)), 0, None).astype(np.float32)
        mask = np.zeros(head.shape, np.uint8)
        mask[40, 40, 40] = number == 0
        for name, values in (("s", voxels), ("m", mask)):
            nib.save(nib.Nifti1Image(values, np.diag([2, 2, 2, 1])), tmp_path / f"{name}{number}.nii.gz")
        own_mask = f"m{number}.nii.gz" if number < 2 else ""
        lines.append(f"s{number}.nii.gz,{own_mask},{number},healthy,val")
    (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n")
    return Cohort.open(tmp_path)


def test_a_lesion_too_small_for_the_store_is_a_lesion(volumes: Cohort, tmp_path: Path) -> None:
    recipe = load_recipe("brain-mri", {"size": 32, "align.how": "centre", "slices.step_mm": 8.0})
    store, _ = prepare_cohort(volumes, recipe, tmp_path / "store")
    assert not store.lesions.any()
    stored = store_cohort(tmp_path / "store")
    assert [entry.is_marked() for entry in stored] == [entry.is_marked() for entry in volumes]
    assert [entry.is_marked() for entry in stored] == [True, False, False]
    # A store that is made of the store knows it, too.
    prepare_cohort(stored, recipe, tmp_path / "again")
    assert [entry.is_marked() for entry in store_cohort(tmp_path / "again")] == [True, False, False]


def test_nothing_is_calibrated_on_a_lesion_too_small_for_the_store(volumes: Cohort, tmp_path: Path) -> None:
    recipe = load_recipe("brain-mri", {"size": 32, "align.how": "centre", "slices.step_mm": 8.0})
    prepare_cohort(volumes, recipe, tmp_path / "store")
    stored = store_cohort(tmp_path / "store")
    learnt = replace(stored, entries=tuple(replace(entry, split="train") for entry in stored))
    warned: list[str] = []
    options: dict[str, Any] = {"method": "atlas", "preset": "tiny", "device": "cpu", "warn": warned.append}
    store = PreparedStore.open(tmp_path / "store")
    detector = train(learnt, out=tmp_path / "run", store=store, **options)
    assert detector.record["healthy_scans"] == 2
    assert any("s0: labelled healthy, but its mask marks a lesion" in words for words in warned)
    warned.clear()
    found = calibrate_detector(detector, stored, warn=warned.append)
    assert found["native"].n_subjects == 2
    assert len(warned) == 1 and "s0: labelled healthy, but its mask marks a lesion" in warned[0]


def test_older_stores_go_by_what_they_show(cohort: Cohort, recipe: Recipe, tmp_path: Path) -> None:
    prepare_cohort(cohort, recipe, tmp_path / "store")
    new = store_cohort(tmp_path / "store").digest
    age(tmp_path / "store", "marked", "sha256")
    stored = store_cohort(tmp_path / "store")
    assert [entry.is_marked() for entry in stored] == [False] * 5 + [True] * 2
    assert stored[0].read().key == "s00"
    # Their digest is of their rows alone, as it was.
    rows = replace(cohort, entries=tuple(replace(entry, paths=(), mask_path=None) for entry in cohort))
    assert stored.digest == rows.digest != new


def test_a_cohort_is_told_by_what_its_store_holds(cohort: Cohort, recipe: Recipe, tmp_path: Path) -> None:
    def digest_of(store: str) -> str:
        prepare_cohort(cohort, recipe, tmp_path / store)
        return store_cohort(tmp_path / store).digest

    before = digest_of("store")
    image, mask = cohort[0].paths[0], cohort[6].mask_path
    assert mask is not None
    # Neither where it lies, nor when it or its files were made.
    for path in (image, mask):
        path.touch()
    assert digest_of("elsewhere") == before
    assert digest_of("store") == before
    rows = PreparedStore.open(tmp_path / "store").scans
    content = image.read_bytes()
    image.write_bytes(cohort[1].paths[0].read_bytes())
    assert digest_of("store") != before
    changed = PreparedStore.open(tmp_path / "store").scans
    differing = [new["key"] for old, new in zip(rows, changed, strict=True) if old["sha256"] != new["sha256"]]
    assert differing == [cohort[0].key]
    image.write_bytes(content)
    assert digest_of("store") == before
    Image.fromarray(np.flipud(np.array(Image.open(mask)))).save(mask)
    assert digest_of("store") != before


def test_a_training_does_not_go_on_with_changed_scans(cohort: Cohort, recipe: Recipe, tmp_path: Path) -> None:
    store = tmp_path / "store"
    options: dict[str, Any] = {"method": "atlas", "preset": "tiny", "device": "cpu", "out": tmp_path / "run"}
    prepare_cohort(cohort, recipe, store)
    train(store, **options)
    prepare_cohort(cohort, recipe, store)
    train(store, resume=True, **options)
    cohort[0].paths[0].write_bytes(cohort[1].paths[0].read_bytes())
    prepare_cohort(cohort, recipe, store)
    with pytest.raises(BadInput, match="begun with another cohort"):
        train(store, resume=True, **options)


def test_a_store_of_a_store_follows_it(cohort: Cohort, recipe: Recipe, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    prepare_cohort(cohort, recipe, first)
    prepare_cohort(store_cohort(first), recipe, second)
    assert store_cohort(second).digest == store_cohort(first).digest
    cohort[0].paths[0].write_bytes(cohort[1].paths[0].read_bytes())
    prepare_cohort(cohort, recipe, first)
    again, _ = prepare_cohort(store_cohort(first), recipe, second)
    assert np.array_equal(again.images, PreparedStore.open(first).images)


def test_preparing_again_brings_an_older_store_up_to_date(
    cohort: Cohort, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    real: Callable[..., Any] = item.make_item
    monkeypatch.setattr(
        gather, "make_item", lambda entry, *rest: made.append(entry.key) or real(entry, *rest)
    )
    new, _ = prepare_cohort(cohort, recipe, tmp_path / "store")
    rows, images = new.scans, np.array(new.images)
    age(tmp_path / "store", "marked", "sha256")
    made.clear()
    again, _ = prepare_cohort(cohort, recipe, tmp_path / "store")
    assert made == [entry.key for entry in cohort]
    assert again.scans == rows and np.array_equal(again.images, images)
    made.clear()
    prepare_cohort(cohort, recipe, tmp_path / "store")
    assert made == []


def test_items_of_an_earlier_version_are_made_again(cohort: Cohort, recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "item.npz"
    made = item.item_from(recipe.prepare(cohort[0].read()))
    item.write_item(path, made)
    assert item.read_item(path) is not None
    facts = {name: value for name, value in made.facts.items() if name != "marked"}
    item.write_item(path, replace(made, facts=facts))
    assert item.read_item(path) is None
