"""Losses on features."""

from __future__ import annotations

import pytest
import torch

from unlesion.networks.style import content_loss, gram, style_loss


def test_gram_of_known_features() -> None:
    features = torch.tensor([[[[1.0, 2.0]], [[3.0, -1.0]]]])
    expected = torch.tensor([[[5.0, 1.0], [1.0, 10.0]]]) / 4
    torch.testing.assert_close(gram(features), expected)


def test_style_forgets_places_and_content_does_not() -> None:
    torch.manual_seed(0)
    first = (torch.randn(2, 3, 8, 8), torch.randn(2, 5, 4, 4))
    moved = tuple(level.roll(2, -1) for level in first)
    assert float(style_loss(first, moved)) == pytest.approx(0.0, abs=1e-6)
    assert float(content_loss(first, moved)) > 0.5
    assert float(style_loss(first, first)) == float(content_loss(first, first)) == 0.0


def test_levels_are_summed() -> None:
    first = (torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 2, 2, 2))
    second = (torch.ones(1, 2, 4, 4), torch.full((1, 2, 2, 2, 2), -2.0))
    assert float(content_loss(first, second)) == pytest.approx(1.0 + 2.0)
    # Every entry of the Gram matrices: 16 / 32 and 8 · 4 / 16.
    assert float(style_loss(first, second)) == pytest.approx(0.5 + 2.0)


def test_style_is_exact_under_autocast() -> None:
    torch.manual_seed(0)
    first, second = (torch.randn(2, 3, 8, 8),), (torch.randn(2, 3, 8, 8),)
    expected = style_loss(first, second)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(style_loss(first, second), expected)
