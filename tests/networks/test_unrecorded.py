"""Batch statistics that are used and not remembered."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unlesion.networks.unrecorded import unrecorded


def test_same_answer_and_no_trace() -> None:
    layer = nn.BatchNorm2d(3)
    batch = 5 + 2 * torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    with unrecorded(nn.Sequential(layer)):
        silent = layer(batch)
    assert float(layer.running_mean.abs().max()) == 0  # type: ignore[union-attr]
    assert torch.equal(layer(batch), silent)
    assert float(layer.running_mean.abs().min()) > 0  # type: ignore[union-attr]


def test_momentum_comes_back_after_an_error() -> None:
    layer = nn.BatchNorm1d(2, momentum=0.3)
    with pytest.raises(ValueError, match="stop"), unrecorded(layer):
        raise ValueError("stop")
    assert layer.momentum == 0.3
