"""Encoder and decoder of strided convolutions, and dense bottlenecks."""

from __future__ import annotations

import pytest
import torch

from unlesion.networks.bottleneck import DenseCode, DenseExpansion
from unlesion.networks.strided import StridedDecoder, StridedEncoder, decoder_widths


@pytest.mark.parametrize("kernel", [4, 5])
@pytest.mark.parametrize("dims", [2, 3])
def test_there_and_back(kernel: int, dims: int) -> None:
    widths = (4, 8, 6)
    encoder = StridedEncoder(2, widths=widths, kernel=kernel, dims=dims)
    decoder = StridedDecoder(2, widths=decoder_widths(widths), kernel=kernel, dims=dims)
    images = torch.rand(2, 2, *[16] * dims)
    features = encoder(images)
    assert features.shape == (2, 6, *[2] * dims)
    assert decoder(features).shape == images.shape


def test_decoder_mirrors_the_encoder() -> None:
    assert decoder_widths((32, 64, 128, 128)) == (128, 128, 64, 32, 32)


@pytest.mark.parametrize("dims", [2, 3])
def test_dense_code_and_back(dims: int) -> None:
    features = torch.rand(3, 6, *[4] * dims)
    code = DenseCode(6, reduced=2, grid=4, latent=5, heads=2, dims=dims)
    back = DenseExpansion(6, reduced=2, grid=4, latent=5, dims=dims)
    first, second = code(features)
    assert first.shape == second.shape == (3, 5)
    assert not torch.equal(first, second)
    assert back(first).shape == features.shape
