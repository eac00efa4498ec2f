"""The U-Net of diffusion methods, in the form of guided diffusion (ADM)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unlesion.networks.diffusion.blocks import (
    ResidualBlock,
    SelfAttention,
    group_norm,
    time_embedding,
    zeroed,
)
from unlesion.networks.layers import layer


class DiffusionUNet(nn.Module):
    """Residual blocks that are told the time, and a code of the image if there is one, by scale and shift.

    Each level but the last ends in a block that halves the image; each level up has one block more than the level
    down, and takes what that left at every block. Attention stands in the middle, and after every block of the
    levels that `attention` names. MONAI's DiffusionModelUNet adds the embedding instead of scaling by it and
    resamples by convolutions, so its sizes are not those of the published networks.

    Args:
        channels: of the noisy images.
        width: of the first level; the embedding of the time has 4 times as many numbers.
        factors: of the levels' widths.
        blocks: residual blocks of each level on the way down, one number for all or one for each.
        attention: levels that attend, 0 the finest.
        head_width: channels of a head of attention.
        context: numbers of the code, 0 for none. Its embedding is set beside that of the time.
        extra: further channels in, such as planes that tell something.
        dropout: in all residual blocks.
        dims: 2 or 3.

    Source: Dhariwal and Nichol 2021; conditioning: Behrendt et al., cDDPM, arXiv 2312.04215.
    """

    def __init__(
        self,
        channels: int,
        *,
        width: int = 128,
        factors: tuple[int, ...] = (1, 2, 2),
        blocks: int | tuple[int, ...] = 3,
        attention: tuple[int, ...] = (),
        head_width: int = 64,
        context: int = 0,
        extra: int = 0,
        dropout: float = 0.0,
        dims: int = 2,
    ) -> None:
        super().__init__()
        counts = (blocks,) * len(factors) if isinstance(blocks, int) else tuple(blocks)
        if len(counts) != len(factors):
            raise ValueError(f"blocks for {len(counts)} levels, but there are {len(factors)}")
        self.width = width
        told = 4 * width
        self.time = _embedder(width, told)
        self.context = _embedder(context, told) if context else None
        told = 2 * told if context else told

        def step(before: int, after: int, level: int, resample: str = "same") -> _Step:
            attends = level in attention and resample == "same"
            block = ResidualBlock(
                before,
                after,
                told=told,
                dims=dims,
                resample=resample,  # type: ignore[arg-type]
                dropout=dropout,
            )
            return _Step(block, SelfAttention(after, head_width=head_width) if attends else None)

        widths = [width * factor for factor in factors]
        conv = layer("Conv", dims)
        self.first = conv(channels + extra, width, 3, padding=1)
        self.down = nn.ModuleList()
        left = [width]  # Channels of what the way down leaves for the way up.
        now = width
        for level, (after, count) in enumerate(zip(widths, counts, strict=True)):
            for _ in range(count):
                self.down.append(step(now, after, level))
                now = after
                left.append(now)
            if level + 1 < len(widths):
                self.down.append(step(now, now, level, "down"))
                left.append(now)
        self.middle = nn.ModuleList(
            [
                _Step(
                    ResidualBlock(now, now, told=told, dims=dims, dropout=dropout),
                    SelfAttention(now, head_width=head_width),
                ),
                _Step(ResidualBlock(now, now, told=told, dims=dims, dropout=dropout), None),
            ]
        )
        # On the way up a step first takes what was left, unless it only doubles the image.
        self.up = nn.ModuleList()
        self.takes: list[bool] = []
        for level, (after, count) in reversed(list(enumerate(zip(widths, counts, strict=True)))):
            for _ in range(count + 1):
                self.up.append(step(now + left.pop(), after, level))
                self.takes.append(True)
                now = after
            if level:
                self.up.append(step(now, now, level, "up"))
                self.takes.append(False)
        self.last = nn.Sequential(group_norm(now), nn.SiLU(), zeroed(conv(now, channels, 3, padding=1)))

    def forward(self, images: Tensor, times: Tensor, context: Tensor | None = None) -> Tensor:
        """(B, channels + extra, ...), times (B,) from 0, code (B, context) to (B, channels, ...)."""
        told = self.time(time_embedding(times, self.width))
        if self.context is not None:
            if context is None:
                raise ValueError("this network needs a code of the image")
            told = torch.cat([told, self.context(context)], dim=1)
        told = nn.functional.silu(told)
        features = self.first(images)
        if features.ndim == 4 and features.device.type == "cpu" and not torch.is_grad_enabled():
            # Channels beside each other: a pass takes three quarters of the time. How training lays them out is its own matter.
            features = features.contiguous(memory_format=torch.channels_last)
        left = [features]
        for step in self.down:
            features = step(features, told)
            left.append(features)
        for step in self.middle:
            features = step(features, told)
        for step, takes in zip(self.up, self.takes, strict=True):
            features = step(torch.cat([features, left.pop()], dim=1) if takes else features, told)
        result: Tensor = self.last(features)
        return result


class _Step(nn.Module):
    """A residual block, and attention if there is any."""

    def __init__(self, block: ResidualBlock, attention: SelfAttention | None) -> None:
        super().__init__()
        self.block = block
        self.attention = attention

    def forward(self, features: Tensor, told: Tensor) -> Tensor:
        features = self.block(features, told)
        return features if self.attention is None else self.attention(features)


def _embedder(width: int, out: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, out), nn.SiLU(), nn.Linear(out, out))
