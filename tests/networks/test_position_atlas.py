"""Normative statistics by position, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unlesion.networks.position_atlas import PositionAtlas
from unlesion.networks.position_bins import bin_weights


def fitted(
    images: torch.Tensor, roi: torch.Tensor, position: torch.Tensor, *, bins: int = 1, shrink: float = 0.0,
    smooth: float = 0.0, chunk: int = 7,
) -> PositionAtlas:  # fmt: skip
    atlas = PositionAtlas(tuple(images.shape[1:]), bins=bins, smooth=smooth, shrink=shrink, floor=1e-6)
    atlas.begin()
    for start in range(0, len(images), chunk):
        part = slice(start, start + chunk)
        atlas.add(images[part], roi[part], position[part])
    atlas.finish()
    return atlas


def cohort(number: int = 40, *, channels: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    roi = torch.rand(number, 1, 12, 12, generator=generator) > 0.3
    images = torch.rand(number, channels, 12, 12, generator=generator) * roi
    return images, roi, torch.rand(number, generator=generator)


def test_mean_and_deviation_equal_numpy() -> None:
    images, roi, position = cohort()
    atlas = fitted(images, roi, position)
    inside = np.ma.masked_array(images.numpy().astype(np.float64), mask=~roi.expand_as(images).numpy())
    np.testing.assert_allclose(atlas.mean[0].numpy(), inside.mean(0), atol=1e-6)
    np.testing.assert_allclose(atlas.deviation[0].numpy(), inside.std(0), atol=1e-6)
    np.testing.assert_allclose(atlas.samples[0].numpy(), roi.sum(0).numpy())


def test_bins_weigh_by_distance() -> None:
    images, roi, position = cohort()
    atlas = fitted(images, roi, position, bins=3)
    weights = bin_weights(position, 3).numpy()[:, :, None, None, None] * roi.numpy()[:, None]
    expected = (weights * images.numpy()[:, None]).sum(0) / weights.sum(0)
    np.testing.assert_allclose(atlas.mean.numpy(), expected, atol=1e-5)


def test_batches_make_no_difference() -> None:
    images, roi, position = cohort()
    one, other = (fitted(images, roi, position, bins=4, shrink=2, chunk=chunk) for chunk in (1, 40))
    torch.testing.assert_close(one.mean, other.mean)
    torch.testing.assert_close(one.deviation, other.deviation)


def test_reading_is_smooth_in_position() -> None:
    images, roi, position = cohort()
    atlas = fitted(images, roi, position, bins=5, shrink=1)
    mean, deviation = atlas(torch.linspace(0, 1, 101))
    torch.testing.assert_close(mean[0], atlas.mean[0])
    torch.testing.assert_close(mean[100], atlas.mean[4])
    torch.testing.assert_close(mean[50], atlas.mean[2])
    assert float(mean.diff(dim=0).abs().max()) < 0.06
    assert float(deviation.diff(dim=0).abs().max()) < 0.06


@pytest.mark.parametrize("bins", [1, 2, 9])
def test_weights_sum_to_one(bins: int) -> None:
    weights = bin_weights(torch.tensor([-1.0, 0.0, 0.123, 0.5, 0.999, 1.0, 7.0]), bins)
    torch.testing.assert_close(weights.sum(1), torch.ones(7))
    assert (weights >= 0).all()


def test_where_nothing_was_seen_the_whole_image_speaks() -> None:
    images = torch.full((4, 1, 8, 8), 0.6)
    roi = torch.zeros(4, 1, 8, 8, dtype=torch.bool)
    roi[..., :4] = True
    atlas = fitted(images, roi, torch.full((4,), 0.1), bins=4)
    torch.testing.assert_close(atlas.mean, torch.full_like(atlas.mean, 0.6))
    assert atlas.deviation.isfinite().all()


def test_few_samples_lean_on_the_other_heights() -> None:
    images = torch.cat([torch.full((50, 1, 4, 4), 0.4), torch.full((1, 1, 4, 4), 1.0)])
    roi = torch.ones(51, 1, 4, 4, dtype=torch.bool)
    position = torch.cat([torch.zeros(50), torch.ones(1)])
    alone = fitted(images, roi, position, bins=2, shrink=0.0).mean[1].mean()
    leaning = fitted(images, roi, position, bins=2, shrink=4.0).mean[1].mean()
    assert float(alone) == pytest.approx(1.0, abs=1e-4)
    assert 0.45 < float(leaning) < 0.6


def test_adding_needs_a_beginning() -> None:
    images, roi, position = cohort(2)
    with pytest.raises(RuntimeError, match="begin"):
        PositionAtlas((2, 12, 12), bins=1, smooth=0, shrink=0, floor=0.1).add(images, roi, position)
