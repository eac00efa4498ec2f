"""Deformations never fold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from unlesion.synthesis import Space, exponential, jacobian_determinant, push, random_velocity

SPACE = Space(extent=(80.0, 96.0, 80.0), spacing=4.0, corner=(-40.0, -48.0, -40.0))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), scale=st.floats(14, 44), share=st.floats(0.01, 0.09))
def test_random_flows_are_one_to_one(seed: int, scale: float, share: float) -> None:
    velocity = random_velocity(SPACE, scale, share * scale, np.random.default_rng(seed))
    assert jacobian_determinant(exponential(velocity, SPACE.spacing), SPACE.spacing).min() > 0


@settings(max_examples=15, deadline=None)
@given(radius=st.floats(8, 24), share=st.floats(0.0, 0.5), x=st.floats(-20, 20))
def test_pushes_are_one_to_one(radius: float, share: float, x: float) -> None:
    velocity = push(SPACE, np.array([x, 0.0, 0.0]), radius, share * radius)
    assert jacobian_determinant(exponential(velocity, SPACE.spacing), SPACE.spacing).min() > 0


def test_flow_backwards_undoes_flow_forwards() -> None:
    velocity = random_velocity(SPACE, 32.0, 1.8, np.random.default_rng(0))
    there, back = exponential(velocity, 4.0), exponential(-velocity, 4.0)
    index = np.indices(SPACE.shape) + there / 4.0
    rest = there + np.stack([ndimage.map_coordinates(part, index, order=1, mode="nearest") for part in back])
    assert np.abs(rest[:, 4:-4, 4:-4, 4:-4]).max() < 0.35
    assert np.abs(there).max() > 3


def test_nothing_moves_without_velocity_or_beyond_a_push() -> None:
    assert not exponential(np.zeros((3, *SPACE.shape), np.float32), 4.0).any()
    velocity = push(SPACE, np.zeros(3), 8.0, 4.0)
    x, y, z = SPACE.axes()
    far = np.sqrt(x**2 + y**2 + z**2) > 24
    assert not velocity[:, far].any()
    assert np.sqrt((velocity**2).sum(axis=0)).max() == pytest.approx(4.0, rel=0.15)


def test_jacobian_of_a_stretch() -> None:
    x, y, z = np.broadcast_arrays(*SPACE.axes())
    np.testing.assert_allclose(
        jacobian_determinant(np.stack([0.1 * x, 0.2 * y, 0 * z]), 4.0), 1.32, rtol=1e-4
    )
