from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import median_filter

from tests.scoring.fakes import evidence
from unlesion.scoring import PostConfig, ScoringConfig, make_scorer, post_process, remove_small
from unlesion.scoring.post import eroded, window_pixels


@pytest.mark.parametrize(
    ("millimetres", "pixel", "expected"),
    [(15, 3, 5), (15, 1.5, 9), (9, 3, 3), (9, 4, 3), (9, 1.5, 5), (0, 3, 1), (3, 3, 1), (9, 0, 1)],
)
def test_windows_are_odd_and_near_their_width(millimetres: float, pixel: float, expected: int) -> None:
    assert window_pixels(millimetres, pixel) == expected


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 5), st.sampled_from([0.0, 4.0]))
def test_the_median_in_a_box_is_that_of_the_whole(seed: int, slices: int, slice_mm: float) -> None:
    generator = np.random.default_rng(seed)
    maps = generator.random((slices, 20, 18), dtype=np.float32)
    roi = np.zeros(maps.shape, bool)
    top, left = generator.integers(0, 10, 2)
    roi[generator.integers(0, slices) :, top : top + 7, left : left + 5] = True
    config = PostConfig(median_mm=9, median_volume_mm=9)
    found = post_process(maps, roi, spacing=(3.0, 3.0), slice_mm=slice_mm, config=config)
    size = (3 if slice_mm and slices > 1 else 1, 3, 3)
    expected = np.where(roi, median_filter(maps, size=size, mode="nearest"), 0)
    np.testing.assert_array_equal(found, expected)


def test_flat_stacks_are_filtered_slice_by_slice() -> None:
    maps = np.random.default_rng(0).random((3, 16, 16), dtype=np.float32)
    roi = np.ones(maps.shape, bool)
    together = post_process(maps, roi, spacing=(3.0, 3.0), slice_mm=0.0, config=PostConfig())
    one = post_process(maps[1:2], roi[1:2], spacing=(3.0, 3.0), slice_mm=0.0, config=PostConfig())
    np.testing.assert_array_equal(together[1:2], one)


def test_erosion_is_in_millimetres_and_spares_the_picture_border() -> None:
    roi = np.zeros((1, 20, 20), bool)
    roi[0, 5:15, 5:15] = True
    kept = eroded(roi, spacing=(2.0, 1.0), erode_mm=3.5)
    assert kept[0].any(axis=1).sum() == 8  # one row of 2 mm on either side is nearer than 3.5 mm ...
    assert kept[0].any(axis=0).sum() == 4  # ... and three columns of 1 mm
    whole = np.ones((1, 20, 20), bool)
    assert eroded(whole, spacing=(2.0, 1.0), erode_mm=5).all()
    touching = whole.copy()
    touching[0, 0] = False
    assert eroded(touching, spacing=(2.0, 1.0), erode_mm=3)[0, 2:].all()


def test_raw_maps_skip_post_processing() -> None:
    healthy = np.zeros((1, 1, 16, 16), np.float32)
    scan = healthy.copy()
    scan[0, 0, 8, 8] = 1
    scorer = make_scorer(ScoringConfig())
    assert scorer.map(evidence(scan, healthy), post=False)[0, 8, 8] == 1
    assert not scorer.map(evidence(scan, healthy)).any()


def test_small_components_go_by_volume_or_area() -> None:
    volume = np.zeros((12, 12, 6), bool)
    volume[1, 1, 1] = True
    volume[5:8, 5:8, 2:4] = True
    config = PostConfig(min_component_ml=0.018, min_component_mm2=2)
    left, count = remove_small(volume, spacing=(1, 1, 1), config=config)
    assert (left.sum(), count) == (18, 1)
    flat = volume[:, :, 2:3].copy()
    flat[0, 0] = True
    left, count = remove_small(flat, spacing=(1, 1, 8), config=config)
    assert (left.sum(), count) == (9, 1)


def test_corners_connect() -> None:
    mask = np.zeros((8, 8, 3), bool)
    mask[2, 2, 0] = mask[3, 3, 1] = mask[4, 4, 2] = True
    left, count = remove_small(mask, spacing=(1, 1, 1), config=PostConfig(min_component_ml=0.003))
    assert (left.sum(), count) == (3, 1)


def test_unknown_spacing_has_an_assumed_width() -> None:
    mask = np.zeros((240, 240, 1), bool)
    mask[:4, :4] = True
    mask[100, 100] = True
    left, count = remove_small(mask, spacing=None, config=PostConfig(min_component_mm2=16))
    assert (left.sum(), count) == (16, 1)


def test_the_assumed_width_is_the_recipes() -> None:
    mask = np.zeros((100, 100, 1), bool)
    mask[:2, :2] = True
    # Four pixels are 16 mm² of a picture of 200 mm, and 4 mm² of one of 100 mm.
    for width, kept in ((200.0, 4), (100.0, 0)):
        left, _ = remove_small(mask, spacing=None, config=PostConfig(), assumed_width_mm=width)
        assert left.sum() == kept


@pytest.mark.parametrize("shape", [(120, 60, 1), (60, 120, 1)])
def test_the_assumed_width_is_that_of_the_longer_side_as_in_recipes(shape: tuple[int, int, int]) -> None:
    mask = np.zeros(shape, bool)
    mask[:2, :2] = True
    # 2 mm a pixel: 16 mm².
    for smallest, kept in ((16.0, 4), (17.0, 0)):
        left, _ = remove_small(mask, spacing=None, config=PostConfig(min_component_mm2=smallest))
        assert left.sum() == kept


def test_nothing_to_remove() -> None:
    left, count = remove_small(np.zeros((4, 4, 4), bool), spacing=None, config=PostConfig())
    assert (left.sum(), count) == (0, 0)
