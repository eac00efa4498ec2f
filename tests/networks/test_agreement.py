"""Where two images agree best."""

from __future__ import annotations

import torch

from unlesion.networks.agreement import most_alike


def test_the_share_that_differs_least_is_kept() -> None:
    first = torch.zeros(1, 1, 2, 5)
    second = torch.arange(10.0).reshape(1, 1, 2, 5)
    roi = torch.ones(1, 1, 2, 5, dtype=torch.bool)
    kept = most_alike(first, second, roi, share=0.5)
    assert kept.flatten().tolist() == [True] * 5 + [False] * 5


def test_what_lies_outside_the_roi_does_not_count() -> None:
    first = torch.zeros(1, 2, 1, 4)
    second = torch.tensor([[[[9.0, 9.0, 1.0, 2.0]]]]).expand(1, 2, 1, 4)
    roi = torch.tensor([[[[False, False, True, True]]]])
    assert most_alike(first, second, roi, share=0.1)[0, 0, 0, 2:].tolist() == [True, False]


def test_an_image_without_roi_is_kept() -> None:
    assert most_alike(
        torch.zeros(1, 1, 3, 3), torch.ones(1, 1, 3, 3), torch.zeros(1, 1, 3, 3) > 0, share=0.9
    ).all()
