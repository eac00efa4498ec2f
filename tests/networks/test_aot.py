"""The inpainting generator."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unlesion.methods.base import count_parameters
from unlesion.networks.aot import AOTBlock, AOTGenerator, sharp_gate


def test_published_size() -> None:
    with torch.device("meta"):
        generator = AOTGenerator(1, width=64, blocks=8, dilations=(1, 2, 4, 8), ceiling=1.0)
    # Layer by layer: three convolutions, eight blocks of four branches, fuse and gate, and three convolutions.
    begin = (2 * 49 + 1) * 64 + (64 * 16 + 1) * 128 + (128 * 16 + 1) * 256
    block = (256 * 9 + 1) * (4 * 64 + 256 + 256)
    end = (256 * 9 + 1) * 128 + (128 * 9 + 1) * 64 + (64 * 9 + 1)
    assert count_parameters(generator) == begin + 8 * block + end == 15_193_409


def test_a_block_is_its_equation() -> None:
    torch.manual_seed(0)
    block = AOTBlock(6, (1, 2))
    x = torch.randn(2, 6, 9, 11)
    branches = [
        nn.functional.conv2d(nn.functional.pad(x, [d] * 4, mode="reflect"), c.weight, c.bias, dilation=d)  # type: ignore[union-attr,arg-type]
        for d, c in ((d, branch[0][1]) for d, branch in zip((1, 2), block.branches, strict=True))  # type: ignore[index]
    ]
    assert all(branch.shape[1] == 3 for branch in branches)
    fused = block.fuse(torch.cat(branches, 1).relu())
    raw = block.gate(x)
    n = (raw - raw.mean((2, 3), keepdim=True)) / raw.std((2, 3), keepdim=True, unbiased=False)
    gate = 1 / (1 + torch.exp(-5 * (2 * n - 1)))
    torch.testing.assert_close(block(x), x * (1 - gate) + fused * gate, rtol=1e-4, atol=1e-5)


def test_the_gate_of_a_flat_channel_has_a_gradient() -> None:
    features = torch.full((1, 2, 4, 4), 3.0, requires_grad=True)
    gate = sharp_gate(features)
    gate.sum().backward()
    torch.testing.assert_close(gate, torch.sigmoid(torch.tensor(-5.0)).expand_as(gate))
    assert features.grad is not None and features.grad.isfinite().all()


@pytest.mark.parametrize(("channels", "dims"), [(1, 2), (3, 2), (2, 3)])
def test_nothing_under_a_hole_is_seen(channels: int, dims: int) -> None:
    torch.manual_seed(0)
    generator = AOTGenerator(channels, width=4, blocks=2, dilations=(1, 2), ceiling=1.5, dims=dims)
    images = torch.rand(2, channels, *[16] * dims)
    holes = torch.zeros(2, 1, *[16] * dims, dtype=torch.bool)
    holes[..., 5:9, 5:9] = True
    drawn = generator(images, holes)
    other = torch.where(holes, torch.rand_like(images), images)
    assert torch.equal(drawn, generator(other, holes))
    assert drawn.shape == images.shape and drawn.dtype == torch.float32
    low, high = float(drawn.detach().min()), float(drawn.detach().max())
    assert low >= 0.0 and high <= 1.5
    # What surrounds it matters, and so does where it is.
    assert not torch.equal(drawn, generator(1.0 - images, holes))
    assert not torch.equal(drawn, generator(images.masked_fill(holes, 1.0), holes.roll(4, -1)))


def test_a_far_dilation_sees_far() -> None:
    """The reach of a block is what its dilations say."""
    torch.manual_seed(0)
    for dilation in (1, 4):
        block = AOTBlock(4, (dilation,))
        x = torch.randn(1, 4, 25, 25, requires_grad=True)
        # The gate's mean and spread are of the whole picture: only the branch counts here.
        block.branches[0](x)[0, :, 12, 12].sum().backward()
        assert x.grad is not None
        rows = x.grad.abs().sum((0, 1, 3)).nonzero().flatten()
        assert (int(rows.min()), int(rows.max())) == (12 - dilation, 12 + dilation)
