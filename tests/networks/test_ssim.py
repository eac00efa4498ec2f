"""Structural similarity maps, against scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from unlesion.networks.ssim import ssim_map


@pytest.mark.parametrize("dims", [2, 3])
def test_equals_scikit_image_away_from_the_border(dims: int) -> None:
    rng = np.random.default_rng(0)
    first = rng.random([24] * dims).astype(np.float32)
    second = (first + 0.2 * rng.random([24] * dims)).astype(np.float32)
    _, expected = structural_similarity(
        first,
        second,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    found = ssim_map(torch.from_numpy(first)[None, None], torch.from_numpy(second)[None, None])[0, 0].numpy()
    assert found.shape == first.shape
    inner = (slice(5, -5),) * dims
    np.testing.assert_allclose(found[inner], expected[inner], atol=2e-4)


def test_an_image_resembles_itself_also_under_autocast() -> None:
    image = torch.rand(2, 3, 32, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        similarity = ssim_map(image, image)
    assert similarity.dtype == torch.float32
    torch.testing.assert_close(similarity, torch.ones_like(image))


def test_small_images_shrink_the_window() -> None:
    image = torch.rand(1, 1, 4, 4)
    assert ssim_map(image, image.flip(-1)).shape == image.shape
