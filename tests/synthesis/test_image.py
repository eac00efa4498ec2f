"""Shapes, blending and scanner effects."""

from __future__ import annotations

import numpy as np
import pytest

from unlesion.synthesis import (
    Space,
    average_blocks,
    bias_field,
    blend,
    cone,
    ellipsoid,
    limit_resolution,
    random_axes,
    retexture,
    rician,
    soften,
)

SPACE = Space(extent=(64.0, 64.0, 64.0), spacing=2.0, corner=(-32.0, -32.0, -32.0))


def test_ball_has_its_volume_and_distance() -> None:
    distance = ellipsoid(SPACE, np.zeros(3), np.full(3, 15.0), np.eye(3))
    x, y, z = SPACE.axes()
    np.testing.assert_allclose(distance, np.sqrt(x**2 + y**2 + z**2) - 15, atol=1e-2)
    assert soften(distance, 4.0).sum() * 8 == pytest.approx(4 / 3 * np.pi * 15**3, rel=0.02)


def test_cone_opens_along_its_direction() -> None:
    distance = cone(SPACE, np.array([-20.0, 0.0, 0.0]), np.array([1.0, 0.0, 0.0]), np.pi / 6)
    assert distance[20, 16, 16] < 0 < distance[20, 31, 16]
    assert distance[2, 16, 16] > 0


def test_soft_masks_end() -> None:
    np.testing.assert_array_equal(
        soften(np.array([-9.0, -2.0, 0.0, 2.0, 9.0], np.float32), 4.0), [1, 1, 0.5, 0, 0]
    )


def test_frames_are_orthonormal() -> None:
    axes = random_axes(np.random.default_rng(0), np.array([0.0, 0.0, 2.0]))
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-9)
    assert abs(axes[0, 2]) == pytest.approx(1.0)


def test_blend_leaves_the_background_exactly() -> None:
    rng = np.random.default_rng(0)
    background, fraction = rng.random((4, 4, 4), np.float32), rng.random((4, 4, 4), np.float32)
    fraction[:2] = 0
    out = blend(background, 2.0, fraction)
    np.testing.assert_array_equal(out[:2], background[:2])
    assert (out[2:] >= background[2:]).all()
    np.testing.assert_array_equal(blend(background, 2.0, np.ones_like(background)), np.float32(2.0))


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_block_means(factor: int) -> None:
    fine = np.random.default_rng(0).random((12, 6, 18)).astype(np.float32)
    got = average_blocks(fine, factor)
    shape = [count for side in fine.shape for count in (side // factor, factor)]
    np.testing.assert_allclose(got, fine.reshape(shape).mean(axis=(1, 3, 5)), rtol=1e-5)


def test_rician_noise_has_its_moments() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, (2, 100_000)).astype(np.float32)
    image = rician(np.full(100_000, 0.5, np.float32), *noise)
    # E[M^2] = A^2 + 2 sigma^2 exactly.
    assert (image.astype(float) ** 2).mean() == pytest.approx(0.25 + 0.02, rel=0.01)
    assert rician(np.zeros(100_000, np.float32), *noise).mean() == pytest.approx(
        0.1 * np.sqrt(np.pi / 2), rel=0.01
    )


def test_bias_is_positive_and_smooth_and_resolution_keeps_the_sum() -> None:
    bias = bias_field(SPACE, 0.1, np.random.default_rng(0))
    assert bias.min() > 0.5 and bias.max() < 2
    assert max(np.abs(part).max() for part in np.gradient(bias)) < 0.05
    point = np.zeros(SPACE.shape, np.float32)
    point[16, 16, 16] = 1
    seen = limit_resolution(point, (2.0, 2.0, 6.0), SPACE.spacing)
    assert seen.sum() == pytest.approx(1.0, rel=1e-4)
    assert seen[16, 16, 18] > seen[18, 16, 16]


def test_the_centre_of_an_ellipsoid_is_inside() -> None:
    """It had distance 0, and so a hole where the centre fell on a voxel."""
    space = Space(extent=(8.0, 8.0, 8.0), spacing=1.0, corner=(0.5, 0.5, 0.5))
    assert 4.0 in space.axes()[0]
    distance = ellipsoid(space, np.array([4.0, 4.0, 4.0]), np.array([3.0, 2.0, 4.0]), np.eye(3))
    centre = tuple(int(np.argmin(np.abs(axis.ravel() - 4.0))) for axis in space.axes())
    assert distance[centre] == pytest.approx(-2.0)
    assert (distance[tuple(slice(place - 1, place + 2) for place in centre)] < 0).all()


def test_smoother_texture_keeps_to_millimetres_on_every_axis() -> None:
    """In thick slices the local mean reached through several of them."""
    values = np.ones((21, 21, 5), np.float32)
    values[:, :, 2] = 2.0
    here = np.zeros_like(values)
    here[10, 10, :] = 1.0
    nothing = np.zeros_like(values)
    thin, thick = (
        retexture(values, here, -1.0, texture=nothing, amplitude=0.0, spacing=spacing)
        for spacing in ((1.0, 1.0, 1.0), (1.0, 1.0, 30.0))
    )
    # Slices 30 mm apart know nothing of each other.
    np.testing.assert_allclose(thick[10, 10], values[10, 10], atol=1e-4)
    assert np.ptp(thin[10, 10]) < 0.5
    np.testing.assert_array_equal(
        retexture(values, here, -1.0, texture=nothing, amplitude=0.0, spacing=2.0),
        retexture(values, here, -1.0, texture=nothing, amplitude=0.0, spacing=(2.0, 2.0, 2.0)),
    )
