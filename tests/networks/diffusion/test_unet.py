"""The diffusion U-Net and its blocks."""

from __future__ import annotations

import math

import pytest
import torch

from unlesion.methods.base import count_parameters
from unlesion.networks.diffusion.blocks import ResidualBlock, SelfAttention, group_norm, time_embedding
from unlesion.networks.diffusion.unet import DiffusionUNet


@pytest.mark.parametrize(("context", "parameters"), [(512, 44_068_481), (0, 37_513_857), (128, 43_871_873)])
def test_the_published_network_has_its_size(context: int, parameters: int) -> None:
    with torch.device("meta"):
        assert count_parameters(DiffusionUNet(1, context=context)) == parameters


def shaken(unet: torch.nn.Module, *, seed: int = 0) -> torch.nn.Module:
    """A network whose weights are no longer 0 anywhere."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in unet.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    return unet.eval()


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("context", [0, 5])
def test_shapes_and_what_matters(dims: int, context: int) -> None:
    unet = shaken(
        DiffusionUNet(
            2, width=8, factors=(1, 2), blocks=(1, 2), attention=(1,), context=context, extra=1, dims=dims
        )
    )
    images = torch.randn(2, 3, *[8] * dims)
    code = torch.randn(2, context) if context else None
    times = torch.tensor([3, 700])
    with torch.no_grad():
        answer = unet(images, times, code)
        assert answer.shape == (2, 2, *[8] * dims)
        assert not torch.allclose(answer, unet(images, times + 100, code), atol=1e-3)
        if context:
            assert not torch.allclose(answer, unet(images, times, 2 * code), atol=1e-3)
            with pytest.raises(ValueError, match="code"):
                unet(images, times)
        # Rows do not know of each other.
        row = unet(images[1:], times[1:], None if code is None else code[1:])
        torch.testing.assert_close(row, answer[1:], atol=1e-5, rtol=1e-4)


def test_a_new_network_answers_0_and_its_blocks_do_nothing() -> None:
    images = torch.randn(2, 1, 16, 16)
    assert (DiffusionUNet(1, width=8, blocks=1)(images, torch.tensor([1, 2])) == 0).all()
    features, told = torch.randn(2, 8, 16, 16), torch.randn(2, 4)
    block = ResidualBlock(8, 8, told=4, dims=2)
    assert torch.equal(block(features, told), features)
    assert torch.equal(SelfAttention(8, head_width=4)(features), features)
    halved = ResidualBlock(8, 8, told=4, dims=2, resample="down")(features, told)
    torch.testing.assert_close(halved, torch.nn.functional.avg_pool2d(features, 2))
    doubled = ResidualBlock(8, 8, told=4, dims=2, resample="up")(features, told)
    assert torch.equal(doubled, features.repeat_interleave(2, -1).repeat_interleave(2, -2))


def test_scale_and_shift_follow_the_second_norm() -> None:
    block = ResidualBlock(4, 4, told=3, dims=2)
    with torch.no_grad():
        block.told.weight.zero_()
        block.told.bias.copy_(torch.tensor([1.0] * 4 + [0.5] * 4))
        block.conv_out.weight.copy_(
            torch.eye(4)[:, :, None, None] * torch.eye(3)[1][:, None] * torch.eye(3)[1]
        )
    features = torch.randn(1, 4, 6, 6)
    hidden = block.conv_in(torch.nn.functional.silu(block.norm_in(features)))
    expected = features + torch.nn.functional.silu(block.norm_out(hidden) * 2.0 + 0.5)
    torch.testing.assert_close(block(features, torch.zeros(1, 3)), expected)


def test_attention_of_one_head_is_the_closed_form() -> None:
    attention = SelfAttention(4, head_width=4)
    with torch.no_grad():
        attention.answer.weight.copy_(torch.eye(4))
    features = torch.randn(1, 4, 3, 3)
    tokens = attention.norm(features).flatten(2)[0].T
    queries, keys, values = attention.ask(tokens).chunk(3, dim=1)
    found = torch.softmax(queries @ keys.T / 2.0, dim=1) @ values
    torch.testing.assert_close(attention(features), features + found.T.reshape(1, 4, 3, 3))


def test_attention_stands_where_it_should() -> None:
    def places(**settings: object) -> int:
        unet = DiffusionUNet(1, width=8, blocks=2, **settings)  # type: ignore[arg-type]
        return sum(isinstance(module, SelfAttention) for module in unet.modules())

    assert places() == 1  # The middle.
    assert places(attention=(2,)) == 1 + 2 + 3
    assert places(attention=(0, 1)) == 1 + 2 * (2 + 3)


@pytest.mark.parametrize(
    ("width", "groups"), [(128, 32), (384, 32), (256, 32), (32, 8), (24, 6), (8, 2), (3, 1)]
)
def test_groups(width: int, groups: int) -> None:
    assert group_norm(width).num_groups == groups


def test_times_are_told_apart_by_waves() -> None:
    told = time_embedding(torch.tensor([0, 10]), 8)
    assert told[0].tolist() == [1.0] * 4 + [0.0] * 4
    rates = [1.0, 0.1, 0.01, 0.001]
    expected = [math.cos(10 * rate) for rate in rates] + [math.sin(10 * rate) for rate in rates]
    assert told[1].tolist() == pytest.approx(expected, abs=1e-5)


def test_levels_must_agree() -> None:
    with pytest.raises(ValueError, match="levels"):
        DiffusionUNet(1, width=8, blocks=(1, 1))


@pytest.mark.parametrize("dims", [2, 3])
def test_answers_do_not_depend_on_whether_gradients_are_wanted(dims: int) -> None:
    """Without them the layout in memory is another, on which only rounding may depend."""
    unet = shaken(DiffusionUNet(2, width=8, factors=(1, 2), blocks=1, attention=(1,), dims=dims)).eval()
    images, times = torch.randn(3, 2, *[16] * dims), torch.tensor([1, 500, 999])
    wanted = unet(images, times)
    with torch.no_grad():
        torch.testing.assert_close(unet(images, times), wanted, rtol=1e-4, atol=1e-4)
