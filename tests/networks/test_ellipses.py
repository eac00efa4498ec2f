"""Random ellipses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage.measure import label, regionprops

from unlesion.networks.ellipses import random_ellipses


def ellipses(roi: torch.Tensor, *, number: int = 1, seed: int = 0, **settings: float) -> torch.Tensor:
    given = {"mean": 2.0, "spread": 4.0, "least": 2.0, **settings}
    return random_ellipses(roi, number=number, generator=torch.Generator().manual_seed(seed), **given)


def whole(number: int, side: int = 128, dims: int = 2) -> torch.Tensor:
    return torch.ones(number, 1, *[side] * dims, dtype=torch.bool)


def test_one_without_spread_is_a_disc() -> None:
    for image in ellipses(whole(20), mean=9.0, spread=0.0)[:, 0].numpy():
        assert image.sum() == pytest.approx(math.pi * 81, rel=0.03)
        (found,) = regionprops(label(image))
        assert found.eccentricity < 0.3


def test_half_axes_directions_and_places() -> None:
    found = []
    for image in ellipses(whole(600), mean=2.0, spread=4.0)[:, 0].numpy():
        (one,) = regionprops(label(image))
        found.append((one.axis_minor_length / 2, one.axis_major_length / 2, one.orientation, *one.centroid))
    minor, major, angle, *centre = np.array(found).T
    assert minor.min() > 1.5
    # Magnitudes of N(2, 4), at least 2: their mean by numerical integration.
    drawn = np.clip(np.abs(np.random.default_rng(0).normal(2, 4, 400_000)), 2, None)
    assert (minor.mean() + major.mean()) / 2 == pytest.approx(drawn.mean(), rel=0.05)
    clear = major > 1.5 * minor
    # Any direction: each quarter turn has its share.
    counts, _ = np.histogram(angle[clear], bins=4, range=(-math.pi / 2, math.pi / 2))
    assert counts.min() > 0.7 * counts.mean()
    for places in centre:
        assert 31 <= places.min() < 36 and 91 < places.max() <= 96
        assert places.mean() == pytest.approx(63.5, abs=3)


def test_images_differ_seeds_repeat_and_the_roi_cuts() -> None:
    roi = whole(8, 32)
    roi[..., :16] = False
    masks = ellipses(roi, number=10)
    assert not (masks & ~roi).any()
    assert len({tuple(mask.flatten().tolist()) for mask in masks}) == 8
    assert torch.equal(masks, ellipses(roi, number=10))
    assert not torch.equal(masks, ellipses(roi, number=10, seed=1))
    assert not ellipses(torch.zeros_like(roi), number=10).any()


def test_more_cover_more_and_volumes_have_them_too() -> None:
    few, many = (ellipses(whole(50, 64), number=n).float().mean() for n in (1, 10))
    assert float(few) < float(many) < 10 * float(few)
    ball = ellipses(whole(4, 32, dims=3), mean=6.0, spread=0.0)
    assert ball.shape == (4, 1, 32, 32, 32)
    assert float(ball.flatten(1).sum(1).float().mean()) == pytest.approx(4 / 3 * math.pi * 216, rel=0.04)
