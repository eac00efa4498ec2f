"""Layers by dimension, means over a roi, draws, modes, channels."""

from __future__ import annotations

import platform

import pytest
import torch
from torch import nn

from unlesion.networks.channels import combine_channels
from unlesion.networks.draws import normal, uniform
from unlesion.networks.layers import layer
from unlesion.networks.modes import asking
from unlesion.networks.precision import flushed_denormals, in_bfloat16
from unlesion.networks.roi import roi_mean, roi_sum


def test_layers_by_dimension() -> None:
    assert layer("Conv", 2) is nn.Conv2d
    assert layer("BatchNorm", 3) is nn.BatchNorm3d
    with pytest.raises(ValueError, match="2 or 3"):
        layer("Conv", 1)


def test_means_over_the_roi() -> None:
    values = torch.arange(16.0).reshape(1, 2, 2, 4)
    roi = torch.tensor([[[[True, False, False, True], [False] * 4]]])
    assert float(roi_mean(values, roi)) == pytest.approx((0 + 3 + 8 + 11) / 4)
    assert roi_sum(values, roi).tolist() == [22.0]
    assert float(roi_mean(values, torch.zeros_like(roi))) == 0.0
    assert roi_mean(values.bfloat16(), roi).dtype == torch.float32


def test_draws_repeat() -> None:
    device = torch.device("cpu")
    for draw in (normal, uniform):
        first, second = (
            draw((3, 2), generator=torch.Generator().manual_seed(5), device=device) for _ in range(2)
        )
        assert torch.equal(first, second)


@pytest.mark.parametrize(
    ("machine", "onednn", "avx512_bf16", "amx", "pays"),
    [
        ("x86_64", False, False, False, False),
        # AVX-512 without instructions for bfloat16: oneDNN emulates it.
        ("x86_64", True, False, False, False),
        ("x86_64", True, True, False, True),
        ("AMD64", True, False, True, True),
        ("aarch64", True, False, False, True),
    ],
)
def test_bfloat16_is_taken_where_asked_for_or_where_it_pays(
    monkeypatch: pytest.MonkeyPatch, machine: str, onednn: bool, avx512_bf16: bool, amx: bool, pays: bool
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: onednn)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert in_bfloat16("bf16", "cpu") and not in_bfloat16("32", "cpu")
    assert in_bfloat16("auto", "cpu") is pays


def test_denormals_are_flushed_within_a_block_and_come_back() -> None:
    tiny = torch.full((64,), 1e-39)
    assert (tiny * 1.0 > 0).all()
    with flushed_denormals():
        assert (tiny * 1.0 == 0).all()
        with flushed_denormals():
            pass
        # Still: an inner block leaves what it found.
        assert (tiny * 1.0 == 0).all()
    assert (tiny * 1.0 > 0).all()


def test_asking_gives_back_every_modules_mode() -> None:
    network = nn.Sequential(nn.Dropout(), nn.Sequential(nn.BatchNorm2d(1)))
    network.train()
    network[1].eval()

    def fails() -> None:
        with asking(network):
            assert not any(module.training for module in network.modules())
            assert not torch.is_grad_enabled()
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert network.training and network[0].training and not network[1].training


def test_asking_for_gradients_works_where_they_were_switched_off() -> None:
    network = nn.Linear(3, 1)
    with torch.inference_mode():
        images = torch.rand(2, 3)
        with asking(network, gradients=True):
            copy = images.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(network(copy).sum(), copy)
    torch.testing.assert_close(gradient, network.weight.detach().expand(2, 3))


def test_channels_become_one() -> None:
    values = torch.tensor([[[1.0, -2.0]], [[-3.0, 0.5]]]).transpose(0, 1)[None, 0]
    assert combine_channels(values, "mean").tolist() == [[-1.0, -0.75]]
    assert combine_channels(values, "strongest").tolist() == [[-3.0, -2.0]]
