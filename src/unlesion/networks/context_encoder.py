"""A residual network that makes features of an image at several scales, and one vector of them."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from unlesion.networks.visible import with_visible_norms

LEVELS = 4


class ContextEncoder(nn.Module):
    """MONAI's ResNet without its last layer; it can be trained on masked images (`visible_only`).

    Args:
        channels: of the images.
        block: "basic" or "bottleneck", which has four times as many channels as `widths` say.
        layers: blocks of each of four levels; 3, 4, 6, 3 bottlenecks make ResNet-50.
        widths: of the levels.
        halvings: of the image at the coarsest level: 5 as published; 4 is without pooling at the start, 3 also
            without a stride there.
        dims: 2 or 3.

    Attributes:
        scales: channels of the features, fine to coarse, one a halving, or four if there are more.
        width: channels of the coarsest.
    """

    def __init__(
        self,
        channels: int,
        *,
        block: Literal["basic", "bottleneck"] = "bottleneck",
        layers: tuple[int, ...] = (3, 4, 6, 3),
        widths: tuple[int, ...] = (64, 128, 256, 512),
        halvings: int = 5,
        dims: int = 2,
    ) -> None:
        super().__init__()
        if len(layers) != LEVELS or len(widths) != LEVELS:
            raise ValueError(f"a ResNet has {LEVELS} levels, not {len(layers)} or {len(widths)}")
        if not LEVELS - 1 <= halvings <= LEVELS + 1:
            raise ValueError(f"a ResNet halves images 3, 4 or 5 times, not {halvings}")
        # MONAI's networks take seconds to import, which other methods should not pay.
        from monai.networks.nets.resnet import ResNet

        self.net = ResNet(
            block,
            list(layers),
            list(widths),
            spatial_dims=dims,
            n_input_channels=channels,
            conv1_t_size=7,
            conv1_t_stride=1 if halvings < LEVELS else 2,
            no_max_pool=halvings <= LEVELS,
            bias_downsample=False,
            feed_forward=False,
        )
        with_visible_norms(self.net)
        expansion = 4 if block == "bottleneck" else 1
        self.scales = tuple(width * expansion for width in widths)[-min(LEVELS, halvings) :]
        self.width = self.scales[-1]

    def features(self, images: Tensor) -> list[Tensor]:
        """(B, channels, ...) to features of each of `scales`, each on a grid twice as coarse as the one before."""
        net = self.net
        hidden = net.act(net.bn1(net.conv1(images)))
        hidden = hidden if net.no_max_pool else net.maxpool(hidden)
        found = []
        for level in (net.layer1, net.layer2, net.layer3, net.layer4):
            hidden = level(hidden)
            found.append(hidden)
        return found[-len(self.scales) :]

    def forward(self, images: Tensor) -> Tensor:
        """(B, channels, ...) to the mean of the coarsest features over all places, (B, width) float32."""
        return self.features(images)[-1].float().flatten(2).mean(2)
