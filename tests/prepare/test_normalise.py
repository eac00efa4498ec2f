from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from unlesion.prepare.normalise import NormaliseStep


def region_of(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    voxels = values.reshape(1, -1, 1, 1).astype(np.float32)
    return voxels, np.ones(voxels.shape[1:], dtype=bool)


@pytest.mark.parametrize("how", ["median", "percentiles", "none"])
@settings(max_examples=30, deadline=None)
@given(gain=st.floats(1e-3, 1e4), shift=st.floats(-50, 50), seed=st.integers(0, 100))
def test_undo_is_the_inverse(how: str, gain: float, shift: float, seed: int) -> None:
    values = gain * np.random.default_rng(seed).gamma(4, 1, 500) + shift
    voxels, region = region_of(values)
    intensity = NormaliseStep(how=how).fit(voxels, region)
    assert all(scale > 0 and np.isfinite(scale) for scale in intensity.scale)
    images = voxels.transpose(3, 0, 1, 2)
    back = intensity.undo(intensity.apply(images))
    np.testing.assert_allclose(back, images, rtol=1e-4, atol=1e-4 * float(np.abs(values).max()))


@settings(max_examples=30, deadline=None)
@given(gain=st.floats(1e-3, 1e4))
def test_gain_does_not_matter(gain: float) -> None:
    values = np.random.default_rng(0).gamma(4, 1, 500)
    step = NormaliseStep()
    one, many = (
        step.fit(*region_of(v)).apply(v.astype(np.float32).reshape(1, -1, 1)) for v in (values, gain * values)
    )
    np.testing.assert_allclose(one, many, rtol=1e-3)


def test_a_tumour_does_not_move_healthy_tissue() -> None:
    rng = np.random.default_rng(0)
    healthy = rng.normal(100, 12, 9000)
    tumour = rng.normal(220, 20, 1000)

    def healthy_level(how: str, values: np.ndarray) -> float:
        intensity = NormaliseStep(how=how).fit(*region_of(values))
        return float((100 - intensity.offset[0]) / intensity.scale[0])

    both = np.concatenate([healthy, tumour])
    moved = {
        how: healthy_level(how, both) / healthy_level(how, healthy) - 1 for how in ("median", "percentiles")
    }
    assert abs(moved["median"]) < 0.03
    assert abs(moved["percentiles"]) > 0.2


def test_scores_around_zero_are_lifted() -> None:
    intensity = NormaliseStep().fit(*region_of(np.random.default_rng(0).normal(0, 1, 4000)))
    assert intensity.offset[0] == pytest.approx(-2.33, abs=0.2)
    assert (0 - intensity.offset[0]) / intensity.scale[0] == pytest.approx(0.5, abs=0.02)


def test_flat_regions_have_a_scale() -> None:
    for values in (np.zeros(50), np.full(50, 7.0), np.r_[np.zeros(45), np.ones(5)]):
        intensity = NormaliseStep().fit(*region_of(values))
        assert intensity.scale[0] > 0


def test_percentiles_must_be_ordered() -> None:
    with pytest.raises(ValidationError, match="below"):
        NormaliseStep(low=60, high=40)
