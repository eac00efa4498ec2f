"""Masked parts lie where they should, and masked frequencies are what a Fourier series says."""

from __future__ import annotations

import math

import pytest
import torch

from unlesion.networks.masking import bounding_boxes, masked_frequencies, random_rectangles


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_bounding_boxes() -> None:
    roi = torch.zeros(2, 1, 6, 9, dtype=torch.bool)
    roi[0, 0, 1, 4] = roi[0, 0, 3, 7] = True
    low, high = bounding_boxes(roi)
    assert low.tolist() == [[1, 4], [0, 0]]
    assert high.tolist() == [[4, 8], [0, 0]]


@pytest.mark.parametrize("dims", [2, 3])
def test_rectangles_lie_in_the_bounding_box_and_have_their_size(dims: int) -> None:
    side = 40 if dims == 2 else 20
    roi = torch.zeros(200, 1, *[side] * dims, dtype=torch.bool)
    inner = (slice(None), slice(None), *[slice(4, side - 4)] * dims)
    roi[inner] = True
    extent = side - 8
    found = random_rectangles(roi, most=1, share=0.25, generator=generator())
    assert found.shape == roi.shape
    assert not (found & ~roi).any()
    some = found.flatten(1).any(1)
    # Half of the images have one, half have none.
    assert 0.4 < float(some.float().mean()) < 0.6
    low, high = bounding_boxes(found[some])
    lengths = high - low
    # What is masked is a full rectangle, from half of the longest side to all of it; it reaches every rim.
    assert torch.equal(lengths.prod(1), found[some].flatten(1).sum(1))
    assert int(lengths.min()) == round(0.125 * extent) and int(lengths.max()) == round(0.25 * extent)
    assert int(low.min()) == 4 and int(high.max()) == side - 4


def test_number_of_rectangles_is_even_from_none_to_most() -> None:
    roi = torch.ones(3000, 1, 32, 32, dtype=torch.bool)
    area = random_rectangles(roi, most=5, share=1 / 32, generator=generator()).flatten(1).sum(1)
    # One pixel each, which seldom fall together.
    for number in range(6):
        assert float((area == number).float().mean()) == pytest.approx(1 / 6, abs=0.03)


def test_an_empty_roi_is_no_error() -> None:
    roi = torch.zeros(4, 1, 8, 8, dtype=torch.bool)
    assert random_rectangles(roi, most=5, share=0.2, generator=generator()).shape == roi.shape


@pytest.mark.parametrize("side", [32, 33])
def test_low_and_high_frequencies(side: int) -> None:
    x = torch.arange(side).float()
    slow = torch.cos(2 * math.pi * 2 * x / side)[:, None].expand(side, side)
    fast = torch.cos(2 * math.pi * 7 * x / side)[None].expand(side, side)
    images = torch.stack([0.5 + slow + 0.3 * fast, 0.2 + 2 * slow - fast])[None].repeat(2, 1, 1, 1)
    limits = torch.tensor([3.5 / side, 3.5 / side])
    found = masked_frequencies(images, limits, torch.tensor([True, False]))
    low = torch.stack([0.5 + slow, 0.2 + 2 * slow])
    torch.testing.assert_close(found[0], low, atol=1e-4, rtol=0)
    torch.testing.assert_close(found[1], images[1] - low, atol=1e-4, rtol=0)


def test_what_is_kept_and_what_is_dropped_add_up_in_three_dimensions() -> None:
    images = torch.rand((2, 3, 8, 9, 10), generator=generator())
    limits = torch.tensor([0.1, 0.3])
    parts = [masked_frequencies(images, limits, torch.full((2,), keep)) for keep in (True, False)]
    torch.testing.assert_close(parts[0] + parts[1], images)
    # The mean is low, whatever the limit.
    assert float(masked_frequencies(images, torch.zeros(2), torch.zeros(2) > 0).mean().abs()) < 1e-6
