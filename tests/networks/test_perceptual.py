"""Perceptual distance of features, and adaptive equalisation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.exposure import equalize_adapthist

from unlesion.networks.adaptive_equalise import adaptive_equalise
from unlesion.networks.perceptual import feature_distance


def test_distance_is_that_of_unit_vectors() -> None:
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(2, 5, 8, 8, generator=generator)
    second = torch.randn(2, 5, 8, 8, generator=generator)
    cosine = torch.nn.functional.cosine_similarity(first, second, dim=1)
    # |a - b|² of unit vectors is 2 - 2 cos; on the features' own grid nothing is interpolated.
    torch.testing.assert_close(feature_distance([first], [second], (8, 8))[:, 0], 2 - 2 * cosine)
    assert float(feature_distance([first], [3.0 * first], (8, 8)).abs().max()) < 1e-5
    torch.testing.assert_close(
        feature_distance([first], [-first], (16, 16)), torch.full((2, 1, 16, 16), 4.0), rtol=0, atol=1e-4
    )


def test_plain_vectors_keep_their_length() -> None:
    first, second = torch.randn(2, 2, 5, 8, 8, generator=torch.Generator().manual_seed(0))
    found = feature_distance([first], [second], (8, 8), unit=False)
    torch.testing.assert_close(found[:, 0], (first - second).square().mean(1))


@pytest.mark.parametrize("dims", [2, 3])
def test_levels_are_averaged_on_the_images_pixels(dims: int) -> None:
    levels = [torch.randn(2, 3, *[side] * dims) for side in (8, 4)]
    others = [torch.randn(2, 3, *[side] * dims) for side in (8, 4)]
    size = (16,) * dims
    whole = feature_distance(levels, others, size)
    parts = [feature_distance([a], [b], size) for a, b in zip(levels, others, strict=True)]
    assert whole.shape == (2, 1, *size)
    torch.testing.assert_close(whole, (parts[0] + parts[1]) / 2)


def test_features_of_nothing_are_no_nan() -> None:
    empty = torch.zeros(1, 3, 4, 4)
    assert float(feature_distance([empty], [empty], (8, 8)).max()) == 0.0


@pytest.mark.parametrize("shape", [(2, 1, 32, 32), (1, 3, 32, 32), (2, 1, 16, 16, 16)])
def test_every_channel_of_every_image_is_equalised_by_itself(shape: tuple[int, ...]) -> None:
    images = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    images = images * torch.linspace(0.5, 1.5, shape[0] * shape[1]).reshape(
        *shape[:2], *[1] * (len(shape) - 2)
    )
    found = adaptive_equalise(images, ceiling=1.5)
    assert found.dtype == torch.float32 and found.shape == shape
    for row, channel in np.ndindex(shape[:2]):
        expected = equalize_adapthist(images[row, channel].numpy() / np.float32(1.5))
        np.testing.assert_allclose(found[row, channel].numpy(), expected, atol=1e-6)


def test_one_grey_stays_empty_and_values_are_cut() -> None:
    assert float(adaptive_equalise(torch.full((1, 1, 32, 32), 0.7), ceiling=1.5).max()) == 0.0
    images = torch.rand(1, 1, 32, 32)
    bright = images.clone()
    bright[0, 0, 4, 4] = 1.5
    brighter = bright.clone()
    brighter[0, 0, 4, 4] = 9.0
    assert torch.equal(adaptive_equalise(bright, ceiling=1.5), adaptive_equalise(brighter, ceiling=1.5))
