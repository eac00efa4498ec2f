"""SqueezeNet 1.1 up to its last features, whose weights are somebody else's and stay as they are."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# After these of the layers below LPIPS looks at the features, which have so many channels.
TAPS = (1, 4, 7, 9, 10, 11, 12)
TAP_WIDTHS = (64, 128, 256, 384, 384, 512, 512)
# Of smaller images nothing is left after the halvings.
SMALLEST_SIDE = 17


class Fire(nn.Module):
    """A 1-wide convolution to few channels, then 1-wide and 3-wide ones side by side; ReLU after each."""

    def __init__(self, width: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(width, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, width, H, W) to (B, 2 * expanded, H, W)."""
        squeezed = self.squeeze(features).relu()
        return torch.cat([self.expand1x1(squeezed).relu(), self.expand3x3(squeezed).relu()], dim=1)


class SqueezeNetFeatures(nn.Module):
    """The layers before the classifier; names of weights as torchvision has them (`features.0.weight`, ...).

    Source: Iandola et al., SqueezeNet, arXiv 1602.07360, version 1.1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 3, stride=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),
            Fire(64, 16, 64),
            Fire(128, 16, 64),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),
            Fire(128, 32, 128),
            Fire(256, 32, 128),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),
            Fire(256, 48, 192),
            Fire(384, 48, 192),
            Fire(384, 64, 256),
            Fire(512, 64, 256),
        )

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W), at least `SMALLEST_SIDE` pixels a side, to the features at `TAPS`, finest first."""
        found = []
        features = images
        for place, layer in enumerate(self.features):
            features = layer(features)
            if place in TAPS:
                found.append(features)
        return tuple(found)
