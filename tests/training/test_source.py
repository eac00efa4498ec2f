"""What a training sees, and in which order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unlesion.errors import BadInput
from unlesion.prepare import PreparedStore, load_recipe, prepare_cohort
from unlesion.scans import Cohort
from unlesion.training.config import TrainingConfig
from unlesion.training.source import SliceSource, recontrasted, vary_contrast


@pytest.fixture(scope="module")
def store(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedStore:
    recipe = load_recipe("slices", {"size": 32})
    return prepare_cohort(Cohort.open(pictures), recipe, tmp_path_factory.mktemp("store"))[0]


def test_only_healthy_training_rows_are_ever_drawn(store: PreparedStore) -> None:
    source = SliceSource(store, store.select(split="train", label="healthy"), batch=3, seed=0)
    seen = {name for number in range(20) for name in source.draw("train", number).scan_ids}
    assert seen == {f"s{number:02d}" for number in range(8)}


def test_an_epoch_shows_every_slice_once(store: PreparedStore) -> None:
    source = SliceSource(store, np.arange(12), batch=5, seed=0)
    names = [name for number in range(12) for name in source.draw("train", number).scan_ids]
    for epoch in range(5):
        assert len(set(names[12 * epoch : 12 * epoch + 12])) == 12
    assert names[:12] != names[12:24]


def test_a_batch_is_a_function_of_its_number(store: PreparedStore) -> None:
    def source() -> SliceSource:
        return SliceSource(store, np.arange(12), batch=4, seed=7, mirror=True, contrast=0.5)

    once, again = source(), source()
    for number in (0, 1, 2):
        once.draw("train", number)
    for number in (9, 3):
        assert torch.equal(once.draw("train", number).images, again.draw("train", number).images)
    assert not torch.equal(once.draw("train", 3).images, once.draw("other", 3).images)


def test_mirroring_swaps_sides_and_nothing_else(store: PreparedStore) -> None:
    plain = SliceSource(store, np.arange(12), batch=8, seed=0)
    mirrored = SliceSource(store, np.arange(12), batch=8, seed=0, mirror=True)
    one, two = plain.draw("train", 0).images, mirrored.draw("train", 0).images
    flipped = [not torch.equal(a, b) for a, b in zip(one, two, strict=True)]
    assert any(flipped)
    assert not all(flipped)
    for was, a, b in zip(flipped, one, two, strict=True):
        assert torch.equal(a.flip(-1) if was else a, b)


def test_balance_shows_every_modality_equally_often(store: PreparedStore) -> None:
    rows = [{**row, "modality": ["FLAIR" if at < 9 else "T1"]} for at, row in enumerate(store.scans)]
    source = SliceSource(replace(store, scans=rows), np.arange(12), batch=4, seed=0, balance=True)
    names = [name for number in range(3 * 40) for name in source.draw("train", number).scan_ids]
    few = {str(row["key"]) for row in rows[9:]}
    for epoch in range(40):
        assert sum(name in few for name in names[12 * epoch : 12 * epoch + 12]) == 6
    # Of the many, every one has its turn.
    assert len(set(names)) == 12


def test_balance_changes_nothing_for_one_modality(store: PreparedStore) -> None:
    plain, balanced = (SliceSource(store, np.arange(12), batch=4, seed=0, balance=on) for on in (False, True))
    assert torch.equal(plain.draw("train", 5).images, balanced.draw("train", 5).images)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_recontrast_changes_a_share_of_the_images_and_no_roi(store: PreparedStore, share: float) -> None:
    plain = SliceSource(store, np.arange(12), batch=12, seed=0)
    mapped = SliceSource(store, np.arange(12), batch=12, seed=0, recontrast=share)
    changed = 0
    for number in range(8):
        one, two = plain.draw("train", number), mapped.draw("train", number)
        assert one.scan_ids == two.scan_ids
        assert torch.equal(one.roi, two.roi)
        assert not two.images[~two.roi.expand_as(two.images)].any()
        assert two.images.min() >= 0.0 and two.images.max() <= 1.5
        changed += sum(not torch.equal(a, b) for a, b in zip(one.images, two.images, strict=True))
    assert {0.0: changed == 0, 0.5: 24 < changed < 72, 1.0: changed == 96}[share]
    again = SliceSource(store, np.arange(12), batch=12, seed=0, recontrast=share)
    assert torch.equal(again.draw("train", 7).images, two.images)


def test_every_channel_has_a_map_of_its_own() -> None:
    ramp = torch.linspace(0.1, 1.0, 256).reshape(1, 1, 16, 16).repeat(4, 2, 1, 1)
    roi = torch.ones(4, 1, 16, 16, dtype=torch.bool)
    out = recontrasted(ramp, roi, share=1.0, generator=torch.Generator().manual_seed(0))
    assert all(not torch.allclose(image[0], image[1], atol=0.1) for image in out)


def test_recontrast_is_unwritten_where_it_does_nothing() -> None:
    assert "recontrast" not in TrainingConfig().model_dump()
    assert TrainingConfig(recontrast=0.5).model_dump()["recontrast"] == 0.5


def test_no_slices_is_bad_input(store: PreparedStore) -> None:
    with pytest.raises(BadInput, match="no slices"):
        SliceSource(store, np.arange(0), batch=4, seed=0)


@given(strength=st.floats(0.0, 2.0), seed=st.integers(0, 99))
def test_contrast_bends_but_keeps_black_middle_and_order(strength: float, seed: int) -> None:
    images = torch.linspace(0, 1.5, 31).expand(4, 2, 1, 31).clone()
    images[:, :, :, 15] = 0.5
    before = images.sort(dim=-1).values
    images = before.clone()
    vary_contrast(images, strength=strength, generator=torch.Generator().manual_seed(seed))
    assert float(images.min()) == 0.0
    assert float(images.max()) <= 1.5
    assert (images.diff(dim=-1) >= 0).all()
    middle = before == 0.5
    assert torch.allclose(images[middle], torch.tensor(0.5), atol=1e-6)
    ratio = torch.log(2 * images[..., 3]) / torch.log(2 * before[..., 3])
    assert (ratio.log2().abs() <= strength + 1e-4).all()
