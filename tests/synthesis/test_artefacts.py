"""What scanners do wrong, and textures that keep the mean."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unlesion.synthesis import Space, cloud, motion, retexture, ringing, smooth_field, thick_slices

SPACE = Space(extent=(64.0, 72.0, 48.0), spacing=2.0, corner=(-32.0, -36.0, -20.0))


def image(seed: int = 0) -> np.ndarray:
    return 5 + smooth_field(SPACE, 6.0, np.random.default_rng(seed))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), x=st.floats(-20, 20), radius=st.floats(6, 30))
def test_overlapping_windows_of_one_box_see_one_field(seed: int, x: float, radius: float) -> None:
    whole = smooth_field(SPACE, 7.0, np.random.default_rng(seed))
    window, part = SPACE.window(np.array([x, 0.0, 4.0]), radius)
    seen = smooth_field(part, 7.0, np.random.default_rng(seed), within=SPACE)
    np.testing.assert_allclose(seen, whole[window], atol=1e-4)


def test_beyond_its_box_a_field_is_continued() -> None:
    box = Space(extent=(20.0, 20.0, 20.0), spacing=2.0, corner=(-10.0, -10.0, -10.0))
    seen = smooth_field(SPACE, 5.0, np.random.default_rng(0), within=box)
    assert np.isfinite(seen).all()
    # x < -10 mm is before the box: constant along x.
    assert np.ptp(seen[:11], axis=0).max() == 0 and np.ptp(seen[11:21], axis=0).max() > 0.1


def test_slices_average_what_they_hold_and_keep_the_rest() -> None:
    values = image()
    np.testing.assert_array_equal(thick_slices(values, 2.0, 2.0), values)
    thick = thick_slices(values, 8.0, 2.0)
    assert thick.shape == values.shape
    assert thick.mean() == pytest.approx(values.mean(), rel=0.02)
    assert np.abs(np.diff(thick, axis=2)).mean() < 0.8 * np.abs(np.diff(values, axis=2)).mean()
    # A line along z stays a line between the outermost slice centres.
    line = np.broadcast_to(np.arange(24, dtype=np.float32), (2, 2, 24))
    np.testing.assert_allclose(thick_slices(line, 8.0, 2.0)[0, 0, 2:-2], np.arange(24)[2:-2], atol=1e-4)
    assert thick_slices(line[..., :23], 8.0, 2.0).shape == (2, 2, 23)
    assert thick_slices(line[..., :3], 8.0, 2.0).shape == (2, 2, 3)


def test_ringing_overshoots_beside_an_edge_and_nowhere_without_one() -> None:
    edge = np.ones((32, 32, 2), np.float32)
    np.testing.assert_allclose(ringing(edge, 0.6), edge, atol=1e-5)
    edge[8:24] = 2
    rung = ringing(edge, 0.6)
    assert 2.05 < rung.max() < 2.4 and rung.mean() == pytest.approx(edge.mean(), rel=1e-3)
    np.testing.assert_allclose(ringing(edge, 1.0), edge, atol=1e-5)


def test_a_still_head_has_no_ghosts_and_a_moved_one_is_only_elsewhere() -> None:
    values = image()
    lines = values.shape[1]
    np.testing.assert_allclose(motion(values, np.zeros(lines, np.float32), 2.0), values, atol=1e-4)
    np.testing.assert_allclose(
        motion(values, np.full(lines, 6.0, np.float32), 2.0), np.roll(values, 3, axis=1), atol=1e-3
    )
    path = np.where(np.arange(lines) > lines // 2, 4.0, 0.0).astype(np.float32)
    assert np.abs(motion(values, path, 2.0) - values).mean() > 0.05


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), strength=st.floats(-1, 1.5))
def test_other_texture_same_mean(seed: int, strength: float) -> None:
    rng = np.random.default_rng(seed)
    values = image(seed).astype(np.float32)
    values[:6] = 0
    fraction = np.clip(smooth_field(SPACE, 20.0, rng), 0, 1) * (values > 0)
    texture = cloud(SPACE, (3.0,), rng)
    out = retexture(values, fraction, strength, texture=texture, amplitude=0.5, spacing=2.0)
    np.testing.assert_array_equal(out[fraction == 0], values[fraction == 0])
    core = fraction > 0.5
    if core.any():
        assert out[core].mean() == pytest.approx(values[core].mean(), abs=1e-3)


def test_strength_zero_changes_nothing_and_minus_one_takes_most_away() -> None:
    values, whole = image().astype(np.float32), np.ones(SPACE.shape, np.float32)
    kept, smooth = (
        retexture(values, whole, strength, texture=values, amplitude=1.0, spacing=2.0, radius_mm=6.0)
        for strength in (0.0, -1.0)
    )
    np.testing.assert_array_equal(kept, values)
    assert smooth.std() < 0.6 * values.std()
