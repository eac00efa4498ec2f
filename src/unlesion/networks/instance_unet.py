"""A plain U-Net with instance normalisation, which forgets how strong the contrast of an image is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unlesion.networks.layers import layer

SLOPE = 0.1


def instance_block(inputs: int, outputs: int, *, dims: int) -> nn.Sequential:
    """Twice: 3-wide convolution, instance normalisation, leaky ReLU."""
    steps: list[nn.Module] = []
    for a, b in ((inputs, outputs), (outputs, outputs)):
        steps += [
            layer("Conv", dims)(a, b, 3, padding=1, bias=False),
            layer("InstanceNorm", dims)(b, affine=True),
            nn.LeakyReLU(SLOPE, inplace=True),
        ]
    return nn.Sequential(*steps)


class InstanceUNet(nn.Module):
    """U-Net with average pooling, linear interpolation upwards and skip connections; no output activation.

    Args:
        inputs: planes in.
        outputs: planes out.
        widths: channels of each level, finest first; sides must be multiples of 2^(levels - 1).
        dims: 2 or 3.
    """

    def __init__(self, inputs: int, outputs: int, *, widths: Sequence[int], dims: int = 2) -> None:
        super().__init__()
        starts = [inputs, *widths[:-1]]
        self.down = nn.ModuleList(
            instance_block(a, b, dims=dims) for a, b in zip(starts, widths, strict=True)
        )
        self.pool = layer("AvgPool", dims)(2)
        steps = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.narrow = nn.ModuleList(layer("Conv", dims)(a, b, 1) for a, b in steps)
        self.up = nn.ModuleList(instance_block(2 * b, b, dims=dims) for _, b in steps)
        self.last = layer("Conv", dims)(widths[0], outputs, 1)
        self.mode = "bilinear" if dims == 2 else "trilinear"

    def forward(self, images: Tensor) -> Tensor:
        """(B, inputs, ...) to (B, outputs, ...)."""
        kept: list[Tensor] = []
        features = images
        for level, block in enumerate(self.down):
            features = block(self.pool(features) if level else features)
            kept.append(features)
        kept.pop()
        for narrow, block in zip(self.narrow, self.up, strict=True):
            skipped = kept.pop()
            grown = nn.functional.interpolate(narrow(features), size=skipped.shape[2:], mode=self.mode)
            features = block(torch.cat([grown, skipped], dim=1))
        result: Tensor = self.last(features)
        return result
