"""Residual encoder and decoder, and their normalisation."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unlesion.networks.norms import ChannelAffine, NormKind, normalisation
from unlesion.networks.residual import ResidualBlock, ResidualDecoder, ResidualEncoder


@pytest.mark.parametrize("dims", [2, 3])
def test_there_and_back(dims: int) -> None:
    widths = (4, 6, 8)
    encoder = ResidualEncoder(2, widths=widths, grid=2, latent=5, norm="group", dims=dims)
    decoder = ResidualDecoder(2, widths=widths, grid=2, latent=5, ceiling=1.5, norm="group", dims=dims)
    images = torch.rand(3, 2, *[16] * dims)
    mean, log_variance, taps = encoder(images)
    assert mean.shape == log_variance.shape == (3, 5)
    assert [tap.shape for tap in taps] == [(3, w, *[16 >> k] * dims) for k, w in enumerate(widths, start=1)]
    drawn = decoder(mean)
    assert drawn.shape == images.shape
    assert float(drawn.detach().min()) >= 0 and float(drawn.detach().max()) <= 1.5
    # Taps alone are those of the whole way.
    for one, other in zip(taps, encoder.taps(images), strict=True):
        assert torch.equal(one, other)


def test_the_decoder_reaches_its_ceiling_and_keeps_float32() -> None:
    decoder = ResidualDecoder(1, widths=(4, 4), grid=2, latent=3, ceiling=1.5, norm="frozen")
    nn.init.constant_(decoder.last.bias, 50.0)  # type: ignore[arg-type]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        drawn = decoder(torch.zeros(1, 3))
    assert drawn.dtype == torch.float32
    assert float(drawn.detach().min()) == pytest.approx(1.5)


def test_block_is_the_shortcut_and_what_is_added() -> None:
    block = ResidualBlock(3, 3, norm="frozen")
    images = torch.randn(2, 3, 8, 8)
    assert isinstance(block.skip, nn.Identity)
    for parameter in block.main.parameters():
        nn.init.zeros_(parameter)
    torch.testing.assert_close(block(images), nn.functional.leaky_relu(images, 0.2))
    wider = ResidualBlock(3, 4, norm="frozen")
    assert sum(p.numel() for p in wider.skip.parameters()) == 12


def test_frozen_is_batch_norm_that_never_left_evaluation_mode() -> None:
    torch.manual_seed(0)
    weight, bias = torch.rand(6), torch.rand(6)
    frozen, batch = ChannelAffine(6), nn.BatchNorm2d(6, eps=0.0).eval()
    for module in (frozen, batch):
        module.load_state_dict({"weight": weight, "bias": bias}, strict=False)
    images = torch.randn(4, 6, 5, 5)
    torch.testing.assert_close(frozen(images), batch(images))


@pytest.mark.parametrize("kind", ["frozen", "batch", "group"])
@pytest.mark.parametrize("width", [12, 16])
def test_every_kind_learns_two_numbers_per_channel(kind: NormKind, width: int) -> None:
    made = normalisation(kind, width, dims=2)
    assert sum(p.numel() for p in made.parameters()) == 2 * width
    assert made(torch.randn(2, width, 4, 4)).shape == (2, width, 4, 4)


def test_groups() -> None:
    assert normalisation("group", 16, dims=2).num_groups == 2
    assert normalisation("group", 12, dims=3).num_groups == 1
