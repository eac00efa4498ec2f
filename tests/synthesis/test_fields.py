"""Smooth random fields."""

from __future__ import annotations

import numpy as np
import pytest

from unlesion.synthesis import Space, carry, cloud, resample_smooth, smooth_field

SPACE = Space(extent=(64.0, 72.0, 80.0), spacing=4.0, corner=(-32.0, -40.0, -30.0))


def test_field_has_unit_variance_and_zero_mean() -> None:
    values = np.concatenate(
        [smooth_field(SPACE.at(2.0), 8.0, np.random.default_rng(k)).ravel() for k in range(8)]
    )
    assert abs(values.mean()) < 0.05
    assert values.std() == pytest.approx(1.0, abs=0.06)


def test_field_is_the_same_at_any_spacing() -> None:
    coarse = smooth_field(SPACE, 16.0, np.random.default_rng(3))
    fine = smooth_field(SPACE.at(2.0), 16.0, np.random.default_rng(3))
    # The centre of a coarse voxel is the common corner of eight fine ones.
    near = (fine.reshape(16, 2, 18, 2, 20, 2)).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(near, coarse, atol=0.05)


def test_resampling_follows_a_polynomial() -> None:
    x, y, z = SPACE.axes()
    target = SPACE.at(2.0)
    fx, fy, fz = target.axes()
    got = resample_smooth((0.01 * x * y + z).astype(np.float32), SPACE, target)
    inner = (slice(8, -8),) * 3
    np.testing.assert_allclose(got[inner], (0.01 * fx * fy + fz)[inner], atol=0.05)


def test_carry_is_exact_on_linear_functions_also_into_windows() -> None:
    x, y, z = SPACE.axes()
    slices, part = SPACE.at(2.0).window(np.array([0.0, 0.0, 5.0]), 10.0)
    fx, fy, fz = part.axes()
    got = carry((x + 2 * y - z).astype(np.float32), SPACE, part)
    np.testing.assert_allclose(got, fx + 2 * fy - fz, atol=1e-3)
    assert np.zeros(SPACE.at(2.0).shape)[slices].shape == part.shape


def test_window_stays_in_the_box() -> None:
    slices, part = SPACE.window(np.array([1000.0, -1000.0, 0.0]), 5.0)
    assert min(part.shape) > 0
    assert all(0 <= piece.start < piece.stop <= n for piece, n in zip(slices, SPACE.shape, strict=True))


def test_cloud_is_deterministic() -> None:
    first, second = (cloud(SPACE, (12.0, 6.0), np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
