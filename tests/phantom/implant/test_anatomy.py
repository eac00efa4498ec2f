"""The anatomy read from a scan, where the truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unlesion.errors import BadInput
from unlesion.phantom.implant import RealAnatomy, anatomy_of
from unlesion.phantom.implant.tissue import find_tissue
from unlesion.scans import Scan, read_scan

# Of `make_subject(3)`: the middle of slice 44 of 2 mm from -73.75 mm up.
HEIGHT = -73.75 + 44 * 2


def test_tissue_of_known_levels() -> None:
    """Three levels, a slow bias and noise go in; levels, fractions, bias and noise come out."""
    rng = np.random.default_rng(0)
    kinds = rng.choice(3, (40, 8, 8), p=[0.15, 0.4, 0.45])
    kinds = np.repeat(np.repeat(np.repeat(kinds, 4, 0), 4, 1), 4, 2)
    true = np.array([100.0, 400.0, 600.0])[kinds]
    slope = np.linspace(0.88, 1.12, 160)[:, None, None]
    brain = np.ones(true.shape, bool)
    image = (true * slope + rng.normal(0, 12, true.shape)).astype(np.float32)
    found = find_tissue(image, brain, (1.0, 1.0, 1.0), modality="T1", key="x")
    assert [found.levels[name] for name in ("grey", "white")] == pytest.approx([400, 600], rel=0.08)
    # Of the tissue that is thin its purer half counts.
    assert found.levels["fluid"] == pytest.approx(100, rel=0.2)
    core = np.zeros(4, bool)
    core[1:3] = True
    across, along = np.tile(core, 8), np.tile(core, 40)
    middle = along[:, None, None] & across[None, :, None] & across[None, None, :]
    for number, part in enumerate((found.fluid, found.grey, found.white)):
        assert (part[middle & (kinds == number)] > 0.8).mean() > 0.9
    ends = [found.bias[index].mean() for index in (30, 130)]
    assert ends[1] / ends[0] == pytest.approx(slope[130, 0, 0] / slope[30, 0, 0], rel=0.05)
    assert np.allclose(found.white + found.grey + found.fluid, 1, atol=1e-5)


def test_no_brain_no_tissue() -> None:
    flat = np.full((20, 20, 20), 7.0, np.float32)
    with pytest.raises(BadInput, match="implants need"):
        find_tissue(flat, np.ones(flat.shape, bool), (1.0, 1.0, 1.0), modality="T1", key="x")


def test_a_volume_is_placed(real_volume: RealAnatomy) -> None:
    anatomy = real_volume.anatomy
    total = anatomy.white + anatomy.grey + anatomy.fluid
    assert total.max() <= 1 + 1e-5 and not real_volume.warnings
    inside = anatomy.brain
    # The two halves weigh the same, the middle lies in the middle.
    assert 0.8 < (anatomy.side[inside] > 0).mean() / 0.5 < 1.2
    world = np.broadcast_to(anatomy.space.axes()[2], anatomy.space.shape)
    assert np.abs(anatomy.height - world)[inside].mean() < 8
    chambers = (anatomy.from_ventricles == 0) & inside
    assert 3 < chambers.sum() * anatomy.space.spacing**3 / 1000 < 120
    assert anatomy.depth[chambers].min() > 10
    assert (anatomy.depth[inside] > 0).all()


def test_the_height_of_a_slice_is_found(real_slice: RealAnatomy) -> None:
    anatomy = real_slice.anatomy
    assert float(anatomy.height[anatomy.brain].mean()) == pytest.approx(HEIGHT, abs=7)
    assert not real_slice.turned and real_slice.assumed_mm is None
    assert (anatomy.from_ventricles == 0).any()


def test_a_slice_that_lies_upside_down(head: Path, real_slice: RealAnatomy) -> None:
    """The front of the head may be below: anatomy is read as if it were not, files stay as they are."""
    turned = anatomy_of(read_scan(head / "turned.png", modality="T1", spacing_mm=2.0))
    assert turned.turned
    assert np.array_equal(turned.image, real_slice.image)
    assert np.array_equal(turned.canonical(turned.image), real_slice.canonical(real_slice.image)[::-1])


def test_a_picture_of_unknown_size(head: Path) -> None:
    unknown = anatomy_of(read_scan(head / "slice.png", modality="T1"))
    assert unknown.assumed_mm == pytest.approx(192 / 100)


def test_what_is_no_brain_slice(tmp_path: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    blocks = np.kron(rng.integers(1, 255, (8, 8)), np.ones((12, 12))) + rng.integers(0, 6, (96, 96))
    Image.fromarray(np.clip(np.pad(blocks, 16), 0, 255).astype(np.uint8)).save(tmp_path / "x.png")
    with pytest.raises(BadInput, match="x: "):
        anatomy_of(read_scan(tmp_path / "x.png", modality="T1", spacing_mm=1.5))


def test_modality_must_be_known(picture: Scan) -> None:
    from dataclasses import replace

    with pytest.raises(BadInput, match="modality 'CXR'"):
        anatomy_of(replace(picture, modality=("CXR",)))
    with pytest.raises(BadInput, match="modality"):
        anatomy_of(replace(picture, modality=("",)))
