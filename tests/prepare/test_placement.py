from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.prepare.scenes import smooth_picture
from unlesion.prepare import Placement
from unlesion.prepare.resample import WayBack, to_prepared


def place(scale: float, shift: tuple[float, float], size: int, scan: int) -> Placement:
    matrix = np.diag([scale, scale, 1.0, 1.0])
    matrix[:2, 3] = shift
    return Placement(matrix=matrix, shape=(size, size, 1), scan_shape=(scan, scan, 1))


def there_and_back(
    image: np.ndarray, region: np.ndarray, placement: Placement
) -> tuple[np.ndarray, np.ndarray]:
    prepared, inside = to_prepared(image[None].astype(np.float32), region, placement)
    way = WayBack(placement, inside)
    return way.restore(prepared[0], order=1, fill=-1.0), way.region


def test_identity_is_exact() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(size=(20, 20, 3)).astype(np.float32)
    region = rng.random((20, 20, 3)) < 0.6
    back, kept = there_and_back(image, region, Placement.identity((20, 20, 3)))
    assert np.array_equal(kept, region)
    assert np.array_equal(back[region], image[region])
    assert (back[~region] == -1).all()


@settings(max_examples=40, deadline=None)
@given(
    scale=st.floats(0.5, 4.0),
    shift=st.tuples(st.floats(-3, 3), st.floats(-3, 3)),
)
def test_smooth_images_come_back(scale: float, shift: tuple[float, float]) -> None:
    image = smooth_picture(128)[:, :, None]
    placement = place(scale, shift, size=int(128 / scale), scan=128)
    back, kept = there_and_back(image, np.ones(image.shape, dtype=bool), placement)
    # The picture less its border, where one-sided blur and the field's end are felt.
    inner = kept.copy()
    margin = int(2 * scale) + 1
    inner[:margin] = inner[-margin:] = False
    inner[:, :margin] = inner[:, -margin:] = False
    assert inner.mean() > 0.7
    assert np.abs(back - image)[inner].max() < 0.03


@settings(max_examples=30, deadline=None)
@given(value=st.floats(-100, 100), scale=st.floats(0.6, 4), seed=st.integers(0, 20))
def test_nothing_bleeds_in_from_outside(value: float, scale: float, seed: int) -> None:
    # What lies outside the region is wild; a constant region stays that constant both ways.
    rng = np.random.default_rng(seed)
    region = np.zeros((64, 64, 1), dtype=bool)
    low, high = rng.integers(5, 20), rng.integers(40, 60)
    region[low:high, low:high] = True
    image = np.where(region, value, rng.normal(0, 1e4, region.shape))
    back, kept = there_and_back(image, region, place(scale, (0, 0), int(64 / scale), 64))
    assert kept.sum() > 0.6 * region.sum()
    np.testing.assert_allclose(back[kept], value, rtol=1e-4, atol=1e-3)


def test_shrinking_averages_instead_of_picking() -> None:
    board = (np.indices((128, 128)).sum(axis=0) % 2).astype(np.float32)[:, :, None]
    prepared, inside = to_prepared(
        board[None], np.ones(board.shape, dtype=bool), place(4.0, (1.5, 1.5), 32, 128)
    )
    assert inside.all()
    np.testing.assert_allclose(prepared, 0.5, atol=0.02)


def test_whole_pictures_are_restored_to_their_corners() -> None:
    image = smooth_picture(64)[:, :, None]
    _, kept = there_and_back(image, np.ones(image.shape, dtype=bool), place(4.0, (1.5, 1.5), 16, 64))
    assert kept.all()


def test_what_lies_beyond_the_scan_is_outside() -> None:
    image = np.ones((32, 32, 1), dtype=np.float32)
    placement = place(1.0, (-16.0, 0.0), 64, 32)
    _, inside = to_prepared(image[None], np.ones(image.shape, dtype=bool), placement)
    assert (
        not inside[:16].any()
        and inside[16:48, :32].all()
        and not inside[48:].any()
        and not inside[:, 32:].any()
    )


def test_rotated_volumes_come_back() -> None:
    angle = np.deg2rad(12)
    matrix = np.eye(4)
    matrix[:2, :2] = 2.0 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix[2, 2] = 3.0
    matrix[:3, 3] = (8.0, -4.0, 2.0)
    placement = Placement(matrix=matrix, shape=(40, 40, 12), scan_shape=(64, 64, 40))
    grids = np.meshgrid(*[np.arange(size) for size in placement.scan_shape], indexing="ij")
    image = (0.01 * grids[0] + 0.02 * grids[1] - 0.015 * grids[2]).astype(np.float32)
    region = np.zeros(image.shape, dtype=bool)
    region[20:44, 20:44, 8:30] = True
    prepared, inside = to_prepared(image[None], region, placement)
    way = WayBack(placement, inside)
    back = way.restore(prepared[0], order=1, fill=0.0)
    overlap = 2 * (way.region & region).sum() / (way.region.sum() + region.sum())
    deep = way.region.copy()
    deep[:24] = deep[40:] = deep[:, :24] = deep[:, 40:] = deep[:, :, :13] = deep[:, :, 25:] = False
    assert overlap > 0.85
    assert np.abs(back - image)[deep].max() < 0.01


def test_nearest_keeps_labels() -> None:
    labels = np.zeros((16, 16, 1), dtype=np.float32)
    labels[:, 8:] = 3.0
    way = WayBack(place(2.0, (0.5, 0.5), 16, 32), np.ones(labels.shape, dtype=bool))
    assert set(np.unique(way.restore(labels, order=0, fill=0.0))) == {0.0, 3.0}


def test_empty_regions_are_survived() -> None:
    way = WayBack(place(2.0, (0.0, 0.0), 16, 32), np.zeros((16, 16, 1), dtype=bool))
    assert not way.region.any()
    assert (way.restore(np.ones((16, 16, 1), dtype=np.float32), order=1, fill=0.0) == 0).all()


def test_pixels_are_measured_in_the_scans_millimetres() -> None:
    matrix = np.diag([3.0, 2.0, 4.0, 1.0])
    placement = Placement(matrix=matrix, shape=(8, 8, 2), scan_shape=(24, 16, 8))
    assert placement.pixel_mm((0.5, 1.0, 2.0)) == pytest.approx((1.5, 2.0, 8.0))
