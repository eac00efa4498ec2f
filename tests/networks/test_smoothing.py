"""Gaussian smoothing inside a roi, against scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from unlesion.networks.smoothing import blur_inside, gaussian_blur


@pytest.mark.parametrize("dims", [2, 3])
def test_equals_scipy(dims: int) -> None:
    image = np.random.default_rng(0).random([20] * dims)
    expected = gaussian_filter(image, 2.0, mode="constant", truncate=3.0)
    found = gaussian_blur(torch.from_numpy(image)[None, None], 2.0)[0, 0].numpy()
    # The kernel is kept in float32.
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_constant_stays_constant_up_to_the_rim() -> None:
    roi = torch.zeros(1, 1, 32, 32, dtype=torch.bool)
    roi[..., 8:20, 5:25] = True
    image = torch.where(roi, 0.7, 100.0)
    found = blur_inside(image, roi, 2.0)
    torch.testing.assert_close(found[roi], torch.full_like(found[roi], 0.7))
    assert (found[~roi] == 0).all()


def test_no_blur_only_masks() -> None:
    image = torch.rand(1, 2, 8, 8)
    roi = torch.rand(1, 1, 8, 8) > 0.5
    assert torch.equal(blur_inside(image, roi, 0.0), image * roi)
