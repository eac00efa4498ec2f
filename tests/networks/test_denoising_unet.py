"""Kascenas' U-Net."""

from __future__ import annotations

import pytest
import torch

from unlesion.networks.denoising_unet import DenoisingUNet, middle_divisor
from unlesion.networks.standardised import StandardisedConv


@pytest.mark.parametrize(
    ("number", "expected"), [(64, 8), (128, 16), (256, 16), (512, 32), (24, 6), (7, 7), (1, 1)]
)
def test_middle_divisor(number: int, expected: int) -> None:
    assert middle_divisor(number) == expected


@pytest.mark.parametrize(("base", "millions"), [(64, 7.70), (32, 1.93), (16, 0.48)])
def test_published_sizes(base: int, millions: float) -> None:
    with torch.device("meta"):
        network = DenoisingUNet(1, widths=[base * 2**level for level in range(4)], plain_first=True)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, rel=0.01)


def test_standardised_kernels_have_mean_0_and_spread_1() -> None:
    convolution = StandardisedConv(2, 5)
    impulse = torch.zeros(2, 2, 9, 9)
    impulse[0, 0, 4, 4] = impulse[1, 1, 4, 4] = 1.0
    with torch.no_grad():
        convolution.conv.bias.zero_()  # type: ignore[operator, union-attr]
        response = convolution(impulse)[..., 3:6, 3:6]
    kernels = response.permute(1, 0, 2, 3).flatten(1)
    torch.testing.assert_close(kernels.mean(1), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(kernels.std(1), torch.ones(5), atol=1e-3, rtol=0)


@pytest.mark.parametrize(("plain", "sees"), [(False, False), (True, True)])
def test_only_a_plain_first_convolution_sees_absolute_grey(plain: bool, sees: bool) -> None:
    torch.manual_seed(0)
    network = DenoisingUNet(1, widths=(8, 16), plain_first=plain).eval()
    image = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        change = (network(image + 0.3) - network(image)).abs().max()
    assert (float(change) > 1e-3) == sees


@pytest.mark.parametrize(("channels", "dims"), [(1, 2), (4, 2), (1, 3)])
def test_shape_is_kept(channels: int, dims: int) -> None:
    network = DenoisingUNet(channels, widths=(4, 8, 16), dims=dims)
    images = torch.rand(2, channels, *[16] * dims)
    assert network(images).shape == images.shape
