"""Draws whole images from the features of their visible parts."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from unlesion.networks.layers import layer
from unlesion.networks.visible import VisibleBatchNorm, on_grid, visible_only

NARROWEST = 8


class MaskedDecoder(nn.Module):
    """The light decoder of SparK: from coarse to fine, with features of every scale where the image was visible.

    At each scale visible features are normalised, masked places get a learnt token, and a convolution (1 wide at
    the coarsest scale, else 3) brings both to the decoder's width, which halves from scale to scale.

    Args:
        channels: of the images.
        scales: channels of the features, fine to coarse, one a halving; the finest may be left out.
        width: at the coarsest scale; nowhere less than 8.
        halvings: of the image at the coarsest scale.
        dims: 2 or 3.

    Source: Tian et al., SparK, ICLR 2023.
    """

    def __init__(
        self, channels: int, *, scales: tuple[int, ...], width: int, halvings: int, dims: int
    ) -> None:
        super().__init__()
        conv = layer("Conv", dims)
        widths = [max(NARROWEST, width >> step) for step in range(halvings + 1)]
        self.norms = nn.ModuleList(VisibleBatchNorm(scale) for scale in reversed(scales))
        self.tokens = nn.ParameterList(
            nn.Parameter(0.02 * torch.randn(1, scale, *[1] * dims)) for scale in reversed(scales)
        )
        self.projections = nn.ModuleList()
        for place, scale in enumerate(reversed(scales)):
            kernel = 3 if place else 1
            self.projections.append(conv(scale, widths[place], kernel, padding=kernel // 2))
        self.steps = nn.ModuleList(_doubling(before, after, dims) for before, after in pairwise(widths))
        self.last = conv(widths[-1], channels, 1)

    def forward(self, features: list[Tensor], visible: Tensor) -> Tensor:
        """Features, fine to coarse, and the visible cells (B, 1, *cells) to images (B, channels, ...)."""
        filled = self._filled(features[::-1], visible)
        hidden = filled[0]
        for place, step in enumerate(self.steps):
            hidden = step(hidden + filled[place] if 0 < place < len(filled) else hidden)
        result: Tensor = self.last(hidden)
        return result

    def _filled(self, features: list[Tensor], visible: Tensor) -> list[Tensor]:
        filled = []
        with visible_only(self.norms, visible):
            normed = [norm(given) for norm, given in zip(self.norms, features, strict=True)]
        for given, token, project in zip(normed, self.tokens, self.projections, strict=True):
            filled.append(project(torch.where(on_grid(visible, given), given, token.to(given.dtype))))
        return filled


def _doubling(before: int, after: int, dims: int) -> nn.Module:
    """Twice the grid: a transposed convolution, then two convolutions with batch normalisation."""
    conv, norm = layer("Conv", dims), layer("BatchNorm", dims)
    return nn.Sequential(
        layer("ConvTranspose", dims)(before, before, 4, stride=2, padding=1),
        conv(before, before, 3, padding=1, bias=False),
        norm(before),
        nn.ReLU6(),
        conv(before, after, 3, padding=1, bias=False),
        norm(after),
    )
