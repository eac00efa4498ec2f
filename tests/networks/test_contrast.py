"""InfoNCE with a margin, and the rectangles that its views differ by."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.metrics.pairwise import cosine_similarity

from unlesion.networks.contrast import margin_info_nce
from unlesion.networks.rectangles import erase_rectangle


def test_orthogonal_images_have_a_closed_form() -> None:
    """Views alike and images unlike: s+ = 1/T, s- = 0, of which there are 2 (B - 1)."""
    views = 3 * torch.eye(4, 6)
    for margin in (0.0, 0.5):
        positive = 1 / 0.5
        expected = math.log(math.exp(positive - margin) + 6) - positive
        found = margin_info_nce(views, 0.1 * views, temperature=0.5, margin=margin)
        assert float(found) == pytest.approx(expected, rel=1e-5)


def test_it_is_the_formula() -> None:
    torch.manual_seed(0)
    first, second = torch.randn(5, 7), torch.randn(5, 7)
    similar = cosine_similarity(torch.cat([first, second]).numpy()) / 0.07
    losses = []
    for anchor in range(10):
        partner = (anchor + 5) % 10
        others = sum(
            math.exp(similar[anchor, other]) for other in range(10) if other not in (anchor, partner)
        )
        positive = similar[anchor, partner]
        losses.append(-math.log(math.exp(positive) / (math.exp(positive - 0.5) + others)))
    assert float(margin_info_nce(first, second)) == pytest.approx(sum(losses) / 10, rel=1e-4)


def test_without_margin_it_is_cross_entropy_and_lengths_do_not_matter() -> None:
    torch.manual_seed(1)
    first, second = torch.randn(3, 4), torch.randn(3, 4)
    views = torch.nn.functional.normalize(torch.cat([first, second]), dim=1)
    logits = (views @ views.T / 0.2).fill_diagonal_(float("-inf"))
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor([3, 4, 5, 0, 1, 2]))
    torch.testing.assert_close(margin_info_nce(first, second, temperature=0.2, margin=0), expected)
    torch.testing.assert_close(
        margin_info_nce(5 * first, 0.1 * second, temperature=0.2, margin=0), expected, rtol=1e-5, atol=1e-6
    )


def test_the_best_is_minus_the_margin_and_a_single_image_teaches_nothing() -> None:
    views = torch.eye(3)
    assert float(margin_info_nce(views, views, temperature=0.01, margin=0.4)) == pytest.approx(-0.4, abs=1e-4)
    alone = torch.randn(1, 4, requires_grad=True)
    loss = margin_info_nce(alone, torch.randn(1, 4))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(-0.5, abs=1e-5)
    torch.testing.assert_close(alone.grad, torch.zeros(1, 4), atol=1e-4, rtol=0)


def erased(number: int, *, dims: int = 2, probability: float = 1.0) -> torch.Tensor:
    images = torch.ones(number, 2, *[40] * dims)
    generator = torch.Generator().manual_seed(0)
    return erase_rectangle(images, probability=probability, generator=generator) == 0


@pytest.mark.parametrize("dims", [2, 3])
def test_rectangles_are_half_by_a_quarter(dims: int) -> None:
    found = erased(600 if dims == 2 else 100, dims=dims)
    assert torch.equal(found[:, 0], found[:, 1])
    sides = []
    for axis in range(dims):
        others = [1 + other for other in range(dims) if other != axis]
        sides.append(found[:, 0].amax(others).sum(1).float() / 40)
    volume = torch.stack(sides).prod(0) * 40**dims
    # A product of intervals: rectangles, also where they leave the image and come in again.
    torch.testing.assert_close(found[:, 0].flatten(1).sum(1).float(), volume)
    assert float(sides[-1].mean()) == pytest.approx(0.5, abs=0.01)
    assert float(sides[0].mean()) == pytest.approx(0.25, abs=0.01)
    # 0.6 / 4 and 0.3 / 4 of a standard deviation of 0.3, and the rounding to whole pixels.
    assert float(sides[-1].std()) == pytest.approx(0.045, abs=0.005)
    assert float(sides[0].std()) == pytest.approx(0.0225, abs=0.005)


def test_rectangles_lie_about_the_middle_and_some_images_have_none() -> None:
    found = erased(2000)[:, 0].float()
    often = found.mean(0)
    assert often[20, 20] > 0.5 > often[0, 0]
    assert float((often - often.flip(0)).abs().max()) < 0.06
    assert float((often - often.flip(1)).abs().max()) < 0.06
    some = erased(1000, probability=0.3).flatten(1).any(1).float()
    assert float(some.mean()) == pytest.approx(0.3, abs=0.05)
    assert not erased(5, probability=0.0).any()
