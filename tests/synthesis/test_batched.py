"""Artificial change of whole batches, in torch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from sklearn.cluster import KMeans
from torch import Tensor

from unlesion.synthesis import batched


def rolled(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


DIMS = pytest.mark.parametrize("sides", [(20, 24), (10, 12, 14)], ids=["slices", "volumes"])


@DIMS
def test_evenly_spread_shares_give_every_pixel_of_the_region_once(sides: tuple[int, ...]) -> None:
    roi = rolled(0, 1, 1, *sides) < 0.3
    count = int(roi.sum())
    share = (torch.arange(count) + 0.5) / count
    places = batched.place_inside(roi.expand(count, *roi.shape[1:]), share)
    assert {tuple(place) for place in places.tolist()} == {tuple(p) for p in roi[0, 0].nonzero().tolist()}
    empty = batched.place_inside(torch.zeros(1, 1, *sides, dtype=torch.bool), torch.tensor([0.3]))
    assert empty.tolist() == [[side - 1 for side in sides]]


@DIMS
def test_images_move_in_a_circle(sides: tuple[int, ...]) -> None:
    images = rolled(0, 2, 3, *sides)
    source = torch.tensor([[1] * len(sides), [7] * len(sides)])
    target = torch.tensor([[4] * len(sides), [2] * len(sides)])
    moved = batched.shifted(images, source, target)
    axes = tuple(range(1, 1 + len(sides)))
    assert torch.equal(moved[0], torch.roll(images[0], [3] * len(sides), axes))
    assert torch.equal(moved[1], torch.roll(images[1], [-5] * len(sides), axes))


def test_sizes_of_shapes() -> None:
    flat = batched.offsets((64, 64), torch.tensor([[31.5, 31.5]]))
    solid = batched.offsets((32, 32, 32), torch.tensor([[15.5, 15.5, 15.5]]))
    assert int(batched.box(flat, torch.tensor([[10.0, 24.0]])).sum()) == 240
    assert int(batched.box(solid, torch.tensor([[10.0, 4.0, 6.0]])).sum()) == 240
    assert int(batched.ball(flat, torch.tensor([40.0])).sum()) == pytest.approx(math.pi * 400, rel=0.02)
    assert int(batched.ball(solid, torch.tensor([20.0])).sum()) == pytest.approx(
        4 / 3 * math.pi * 1000, rel=0.02
    )


def test_turning() -> None:
    flat = batched.offsets((9, 9), torch.tensor([[4.0, 4.0]]))
    quarter = batched.turned(flat, torch.tensor([[math.pi / 2]]))
    assert torch.allclose(quarter, torch.stack([flat[:, 1], -flat[:, 0]], dim=1), atol=1e-5)
    solid = batched.offsets((5, 6, 7), torch.tensor([[2.0, 2.5, 3.0]]))
    turned = batched.turned(solid, torch.tensor([[0.2, -0.7, 0.4]]))
    assert torch.allclose(turned.norm(dim=1), solid.norm(dim=1), atol=1e-4)
    assert not torch.allclose(turned, solid, atol=0.1)


@DIMS
def test_a_blob_without_waves_is_a_ball_and_a_wave_is_what_the_formula_says(sides: tuple[int, ...]) -> None:
    dims = len(sides)
    centre = torch.tensor([[(side - 1) / 2 for side in sides]])
    offset = batched.offsets(sides, centre)
    diameter, directions = torch.tensor([8.0]), torch.zeros(1, 4, dims)
    directions[..., 0] = 3.0
    still = batched.blob(offset, diameter, torch.zeros(1, 4), directions)
    assert torch.equal(still, batched.ball(offset, diameter))
    # One wave, k = 2, along the first axis: radius 4 (1 + 0.3) there and 4 (1 - 0.3) across.
    along = torch.zeros(1, dims, 3)
    along[0, 0] = torch.tensor([5.1, 5.3, 0.0])
    across = along.flip(1)
    waves = torch.tensor([[0.3, 0.0, 0.0, 0.0]])
    assert batched.blob(along, diameter, waves, directions)[0, 0].tolist() == [True, False, True]
    assert batched.blob(across * 2.7 / 5.1, diameter, waves, directions)[0, 0].tolist() == [True, False, True]


@DIMS
def test_every_image_is_blurred_by_its_own_sigma(sides: tuple[int, ...]) -> None:
    images = torch.zeros(3, 2, *sides)
    middle = tuple(side // 2 for side in sides)
    images[(slice(None), slice(None), *middle)] = 1.0
    sigma = torch.tensor([0.0, 0.6, 0.9])
    blurred = batched.blur_each(images, sigma)
    assert torch.equal(blurred[0], images[0])
    for row in (1, 2):
        expected = ndimage.gaussian_filter(images[row, 0].numpy(), float(sigma[row]), truncate=8)
        np.testing.assert_allclose(blurred[row, 1].numpy(), expected, atol=5e-5)
    flat = torch.full((1, 1, *sides), 0.7)
    assert torch.allclose(batched.blur_each(flat, torch.tensor([3.0])), flat, atol=1e-6)


def test_foreign_grey_values_are_brought_to_the_images_range() -> None:
    images, foreign = rolled(0, 2, 3, 16, 16), 0.2 * rolled(1, 2, 3, 16, 16) + 0.7
    where = torch.zeros(2, 1, 16, 16, dtype=torch.bool)
    where[0, :, 3:9, 4:11] = True
    fitted = batched.match_range(foreign, images, where, slack=0.0)
    assert (fitted[1] == 0).all() and fitted.isfinite().all()
    for channel in range(3):
        inside = where[0, 0]
        ours, theirs, was = fitted[0, channel], images[0, channel], foreign[0, channel]
        assert float(ours[inside].min()) == pytest.approx(float(theirs[inside].min()), abs=1e-5)
        assert float(ours[inside].max()) == pytest.approx(float(theirs[inside].max()), abs=1e-5)
        assert float(torch.corrcoef(torch.stack([ours[inside], was[inside]]))[0, 1]) > 0.9999
    flat = batched.match_range(torch.full_like(images, 0.5), images, where)
    assert flat.isfinite().all() and float(flat.amax()) <= 1.0


def test_grey_classes_are_those_of_k_means() -> None:
    generator = torch.Generator().manual_seed(0)
    levels = torch.tensor([0.1, 0.35, 0.6, 0.8, 1.1])
    pick = torch.randint(5, (2, 1, 40, 40), generator=generator)
    images = levels[pick] + 0.02 * torch.randn(pick.shape, generator=generator)
    # A channel of other grey values has classes of its own.
    images = torch.cat([images, 0.5 * images], dim=1)
    roi = torch.ones(2, 1, 40, 40, dtype=torch.bool)
    found = batched.grey_classes(images, roi, classes=5, brightest=1.5)
    for image, classes in zip(images.flatten(0, 1), found.flatten(0, 1), strict=True):
        pixels = image.reshape(-1, 1).numpy()
        oracle = KMeans(5, n_init=5, random_state=0).fit(pixels)
        rank = np.argsort(np.argsort(oracle.cluster_centers_[:, 0]))
        assert (rank[oracle.labels_] == classes.flatten().numpy()).mean() > 0.99


def test_classes_are_chosen_with_their_share_and_all_if_none_is() -> None:
    classes = torch.tensor([0, 0, 0, 1, 2, 2]).reshape(1, 1, 2, 3).expand(4, -1, -1, -1)
    inside = torch.tensor([1, 1, 1, 1, 0, 0], dtype=torch.bool).reshape(1, 1, 2, 3).expand(4, -1, -1, -1)
    # Chances against 3/4, 1/4 and 0.
    chance = torch.tensor([[0.7, 0.9, 0.0], [0.8, 0.2, 0.5], [0.8, 0.3, 0.5], [0.1, 0.1, 0.1]])[:, None]
    found = batched.choose_classes(classes, inside, chance, reluctance=0.0).reshape(4, 6).int().tolist()
    assert found == [[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 0, 0], [1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]]
    # 3 / (4 + 4) is less than 0.7.
    reluctant = batched.choose_classes(classes[:1], inside[:1], chance[:1], reluctance=4.0)
    assert reluctant.all()


def test_nothing_is_blended_at_no_strength_and_all_at_full() -> None:
    images, foreign, fraction = rolled(0, 2, 1, 8, 8), rolled(1, 2, 1, 8, 8), rolled(2, 2, 1, 8, 8)
    assert torch.equal(batched.blend(images, foreign, 0 * fraction), images)
    assert torch.allclose(batched.blend(images, foreign, torch.ones_like(fraction)), foreign, atol=1e-6)
    middle = batched.blend(images, foreign, fraction)
    assert torch.allclose(middle, images * (1 - fraction) + foreign * fraction, atol=1e-6)


def test_the_change_told_is_the_largest_that_was_made() -> None:
    images = torch.full((3, 2, 8, 8), 0.4)
    fraction = torch.zeros(3, 1, 8, 8)
    fraction[..., 2:4, 2:4] = torch.tensor([0.5, 1.0])
    amount = torch.tensor([[0.3, 0.1], [-0.9, 0.0], [0.0, 0.0]])
    out, largest = batched.add_within(images, fraction, amount, brightest=1.5)
    # The second image can only go down to 0, the third does not change.
    assert largest.tolist() == pytest.approx([0.3, 0.4, 0.0])
    assert float(out[0, 0, 2, 2]) == pytest.approx(0.55) and float(out[0, 1, 2, 3]) == pytest.approx(0.5)
    outside = (fraction == 0).expand_as(images)
    assert torch.equal(out[outside], images[outside]) and torch.equal(out[2], images[2])
