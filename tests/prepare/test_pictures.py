from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.prepare.scenes import brain_picture, flat_scan, head_parts, smooth_picture, volume_scan
from unlesion.errors import BadInput
from unlesion.prepare import load_recipe


def test_a_picture_through_slices() -> None:
    prepared = load_recipe("slices").prepare(flat_scan(brain_picture(), position=0.3, modality=("T1",)))
    assert prepared.images.shape == (1, 1, 64, 64) and prepared.images.dtype == np.float32
    assert prepared.roi.shape == (1, 64, 64) and prepared.roi.dtype == bool
    assert prepared.positions.dtype == np.float32 and prepared.positions.tolist() == pytest.approx([0.3])
    assert prepared.slice_mm == 0 and prepared.modality == ("T1",)
    assert (prepared.images[:, 0][~prepared.roi] == 0).all()
    assert prepared.images.min() >= 0 and prepared.images.max() <= 1.5
    assert np.median(prepared.images[:, 0][prepared.roi]) == pytest.approx(0.5, abs=0.05)


def test_unknown_position_is_the_middle() -> None:
    assert load_recipe("slices").prepare(flat_scan(brain_picture())).positions.tolist() == [0.5]


def test_brains_come_to_the_middle_at_their_own_size() -> None:
    recipe = load_recipe("slices")
    middle = recipe.prepare(flat_scan(brain_picture())).roi[0]
    shifted = recipe.prepare(flat_scan(brain_picture(shift=(6, -8)))).roi[0]
    small = recipe.prepare(flat_scan(brain_picture(scale=0.5))).roi[0]
    assert (middle ^ shifted).sum() < 0.03 * middle.sum()
    # A slice near the top of the head is small and must stay small.
    assert small.sum() == pytest.approx(0.25 * middle.sum(), rel=0.1)


def test_known_pixel_size_is_used() -> None:
    fine = load_recipe("slices").prepare(flat_scan(brain_picture(256), spacing=0.7))
    assert fine.spacing == pytest.approx((3.0, 3.0), rel=1e-6)
    assert fine.roi.sum() * 9.0 == pytest.approx((brain_picture(256) > 0).sum() * 0.49, rel=0.03)


def test_assumed_pixel_size() -> None:
    recipe = load_recipe("slices")
    head = recipe.prepare(flat_scan(head_parts()[0]))
    # A head is 240 mm wide, a stripped brain fills the field of 192 mm.
    assert np.linalg.norm(head.placement.matrix[:3, 0]) == pytest.approx(3.0 / (240 / 256))
    stripped = recipe.prepare(flat_scan(brain_picture()))
    assert np.linalg.norm(stripped.placement.matrix[:3, 0]) == pytest.approx(3.0 / (192 / 128))
    assert head.spacing == stripped.spacing == pytest.approx((3.0, 3.0))


def test_the_way_back() -> None:
    scan = flat_scan(brain_picture())
    prepared = load_recipe("slices").prepare(scan)
    back = prepared.restore(prepared.images[:, 0])
    assert back.shape == scan.grid.shape and back.dtype == np.float32
    assert (back[~prepared.restored_roi] == 0).all()
    assert (prepared.restore(prepared.roi.astype(float), fill=7.0)[~prepared.restored_roi] == 7).all()
    inside = brain_picture()[:, :, None] > 0
    both = (inside & prepared.restored_roi).sum()
    assert 2 * both / (inside.sum() + prepared.restored_roi.sum()) > 0.98
    healthy = prepared.restore_healthy(prepared.images)
    outside = ~prepared.restored_roi
    assert np.array_equal(healthy[0][outside], scan.voxels[0][outside])


def test_healthy_comes_back_in_the_scans_own_units() -> None:
    smooth = 3000.0 + 2000.0 * smooth_picture(128)
    scan = flat_scan(smooth, spacing=1.0)
    recipe = load_recipe("xray", {"size": 128, "normalise.low": 0.0, "normalise.high": 100.0})
    prepared = recipe.prepare(scan)
    np.testing.assert_allclose(prepared.restore_healthy(prepared.images)[0, :, :, 0], smooth, rtol=2e-3)


def test_identity_placement_is_exact() -> None:
    rng = np.random.default_rng(0)
    scan = flat_scan(rng.uniform(0, 1, (64, 64)), spacing=1.0)
    recipe = load_recipe("xray", {"roi.how": "whole", "align.how": "none", "normalise.how": "none"})
    prepared = recipe.prepare(scan)
    assert prepared.placement.is_identity
    assert np.array_equal(prepared.images[0, 0], scan.voxels[0, :, :, 0])
    assert np.array_equal(prepared.restore_healthy(prepared.images), scan.voxels)


def test_pictures_that_are_not_square_keep_their_shape() -> None:
    wide = np.random.default_rng(0).uniform(50, 200, (60, 120))
    prepared = load_recipe("xray").prepare(flat_scan(wide))
    assert prepared.roi[0, 16:48].all()
    assert not prepared.roi[0, :15].any() and not prepared.roi[0, 49:].any()
    assert prepared.restored_roi.all()


def test_channels_have_their_own_intensities() -> None:
    one = brain_picture()
    prepared = load_recipe("slices").prepare(flat_scan(np.stack([one, 40 * one]), modality=("T1", "T2")))
    assert prepared.images.shape == (1, 2, 64, 64)
    np.testing.assert_allclose(prepared.images[0, 0], prepared.images[0, 1], atol=1e-4)
    assert prepared.intensity.scale[1] == pytest.approx(40 * prepared.intensity.scale[0], rel=1e-4)


def test_erosion_is_in_millimetres() -> None:
    scan = flat_scan(brain_picture())
    full = load_recipe("slices").prepare(scan).roi[0]
    eroded = load_recipe("slices", {"roi.erode_mm": 9.0}).prepare(scan).roi[0]
    assert (eroded & ~full).sum() == 0
    lost = (full.sum() - eroded.sum()) / full.sum()
    # 9 mm are 3 pixels off an ellipse with half axes of 27 and 21 pixels.
    assert lost == pytest.approx(1 - (24 / 27) * (18 / 21), abs=0.05)


def test_the_wrong_kind_is_refused() -> None:
    with pytest.raises(BadInput, match="use 'slices'"):
        load_recipe("brain-mri").prepare(flat_scan(brain_picture()))
    with pytest.raises(BadInput, match="use 'brain-mri'"):
        load_recipe("slices").prepare(volume_scan(np.random.default_rng(0).uniform(0, 1, (20, 20, 20))))


def test_wrong_shapes_are_named() -> None:
    prepared = load_recipe("slices").prepare(flat_scan(brain_picture()))
    with pytest.raises(ValueError, match=r"\(1, 64, 64\)"):
        prepared.restore(np.zeros((64, 64)))
    with pytest.raises(ValueError, match=r"\(1, 1, 64, 64\)"):
        prepared.restore_healthy(np.zeros((1, 64, 64)))
    with pytest.raises(ValueError, match="geometry"):
        replace(prepared, scan=None).restore_healthy(prepared.images)


def test_preparing_twice_gives_the_same() -> None:
    scan = flat_scan(head_parts()[0])
    one, two = (load_recipe("slices").prepare(scan) for _ in range(2))
    assert np.array_equal(one.images, two.images) and np.array_equal(one.roi, two.roi)


@pytest.mark.parametrize("name", ["slices", "xray"])
@pytest.mark.parametrize("size", [16, 20, 700])
def test_small_and_large_pictures(name: str, size: int) -> None:
    image = np.random.default_rng(0).uniform(0, 255, (size, size + 3))
    prepared = load_recipe(name).prepare(flat_scan(image))
    assert np.isfinite(prepared.images).all() and prepared.roi.any()
    assert prepared.restore(prepared.images[:, 0]).shape == (size, size + 3, 1)


def test_values_beyond_the_range_are_refused_where_none_is_made() -> None:
    """Every pixel of an 8-bit picture became 1.5, in silence."""
    image = brain_picture().astype(np.float32)
    with pytest.raises(BadInput, match=r"normalise\.how=none"):
        load_recipe("slices", {"size": 64, "normalise.how": "none"}).prepare(flat_scan(image * 200))
    fine = load_recipe("slices", {"size": 64, "normalise.how": "none"}).prepare(
        flat_scan(image / image.max())
    )
    assert 0.1 < fine.images.max() <= 1.5
