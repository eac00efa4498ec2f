"""Inpainting generator of AOT blocks: near and far surroundings, seen at several dilations, fill a hole."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unlesion.networks.layers import layer

# Keeps the root's derivative finite where a channel is the same everywhere.
SMALLEST_VARIANCE = 1e-12


class AOTBlock(nn.Module):
    """Parallel dilated convolutions, fused, and mixed with what came in by a learnt gate.

    out = x · (1 − g) + fuse(branches(x)) · g with g = sigmoid(5 (2 n(gate(x)) − 1)), where n standardises each
    channel of each image by itself.

    Args:
        width: channels in and out.
        dilations: one branch each, of `width` / number of branches channels (rounded down).
        dims: 2 or 3.

    Source: Zeng et al., Aggregated contextual transformations for high-resolution image inpainting, TVCG 2022.
    """

    def __init__(self, width: int, dilations: Sequence[int], *, dims: int = 2) -> None:
        super().__init__()
        part = max(1, width // len(dilations))
        self.branches = nn.ModuleList(
            nn.Sequential(padded(width, part, 3, dilation=dilation, dims=dims), nn.ReLU())
            for dilation in dilations
        )
        self.fuse = padded(part * len(dilations), width, 3, dims=dims)
        self.gate = padded(width, width, 3, dims=dims)

    def forward(self, features: Tensor) -> Tensor:
        """(B, width, ...) to the same shape."""
        fused = self.fuse(torch.cat([branch(features) for branch in self.branches], dim=1))
        gate = sharp_gate(self.gate(features))
        return features * (1.0 - gate) + fused * gate


def padded(inputs: int, outputs: int, kernel: int, *, dilation: int = 1, dims: int = 2) -> nn.Module:
    """A convolution that keeps the size, with mirrored borders."""
    return nn.Sequential(
        layer("ReflectionPad", dims)(dilation * (kernel // 2)),
        layer("Conv", dims)(inputs, outputs, kernel, dilation=dilation),
    )


def sharp_gate(features: Tensor) -> Tensor:
    """sigmoid(5 (2 n − 1)), (B, C, ...) float32 in 0 to 1, with n each channel standardised over its own pixels."""
    values = features.float()
    axes = tuple(range(2, values.ndim))
    mean = values.mean(axes, keepdim=True)
    spread = (values.var(axes, keepdim=True, unbiased=False) + SMALLEST_VARIANCE).sqrt()
    return torch.sigmoid(5.0 * (2.0 * (values - mean) / spread - 1.0))


class Doubling(nn.Module):
    """Linear interpolation to twice the side, then a convolution."""

    def __init__(self, inputs: int, outputs: int, *, dims: int = 2) -> None:
        super().__init__()
        mode = "bilinear" if dims == 2 else "trilinear"
        self.up = nn.Upsample(scale_factor=2, mode=mode, align_corners=True)
        self.convolve = layer("Conv", dims)(inputs, outputs, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, inputs, side, ...) to (B, outputs, 2 side, ...)."""
        result: Tensor = self.convolve(self.up(features))
        return result


class AOTGenerator(nn.Module):
    """Images with holes to whole images.

    A 7-wide convolution, two 4-wide ones that halve, AOT blocks, two doublings and a 3-wide convolution;
    a tanh stretched to the range of grey values.

    Args:
        channels: of the image.
        width: channels at full size; twice at half, four times at a quarter, where the blocks are.
        blocks: their number.
        dilations: of the blocks' branches; less than a quarter of the image's side.
        ceiling: the brightest grey value that can be drawn; the darkest is 0.
        dims: 2 or 3.
    """

    def __init__(
        self,
        channels: int,
        *,
        width: int,
        blocks: int,
        dilations: Sequence[int],
        ceiling: float,
        dims: int = 2,
    ) -> None:
        super().__init__()
        conv = layer("Conv", dims)
        self.ceiling = ceiling
        self.begin = nn.Sequential(
            padded(channels + 1, width, 7, dims=dims),
            nn.ReLU(),
            conv(width, 2 * width, 4, stride=2, padding=1),
            nn.ReLU(),
            conv(2 * width, 4 * width, 4, stride=2, padding=1),
            nn.ReLU(),
        )
        self.blocks = nn.Sequential(*[AOTBlock(4 * width, dilations, dims=dims) for _ in range(blocks)])
        self.end = nn.Sequential(
            Doubling(4 * width, 2 * width, dims=dims),
            nn.ReLU(),
            Doubling(2 * width, width, dims=dims),
            nn.ReLU(),
            conv(width, channels, 3, padding=1),
        )
        self.apply(_begin_strong)

    def forward(self, images: Tensor, holes: Tensor) -> Tensor:
        """Draw the whole image; nothing under a hole is looked at.

        Args:
            images: (B, C, side, ...), the side a multiple of 4.
            holes: (B, 1, side, ...) bool.

        Returns:
            (B, C, side, ...) float32 in [0, ceiling].
        """
        shown = torch.cat([images.masked_fill(holes, 1.0), holes.to(images.dtype)], dim=1)
        drawn = self.end(self.blocks(self.begin(shown))).float()
        return 0.5 * (torch.tanh(drawn) + 1.0) * self.ceiling


def _begin_strong(module: nn.Module) -> None:
    """Weights that pass a signal on through ReLUs; torch's own lose it over so many layers without normalisation."""
    if isinstance(module, nn.Conv2d | nn.Conv3d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        assert module.bias is not None
        nn.init.zeros_(module.bias)
