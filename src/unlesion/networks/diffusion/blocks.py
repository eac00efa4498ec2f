"""Blocks of the diffusion U-Net: residual with scale and shift, self-attention."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from unlesion.networks.layers import layer

MOST_GROUPS = 32
Resample = Literal["same", "down", "up"]


def group_norm(width: int) -> nn.GroupNorm:
    """Group normalisation with 32 groups, or as many as leave 4 channels or more in each."""
    most = max(1, min(MOST_GROUPS, width // 4))
    return nn.GroupNorm(max(groups for groups in range(1, most + 1) if width % groups == 0), width)


def zeroed(module: nn.Module) -> nn.Module:
    """The same layer with weights and biases of 0: a block that begins as doing nothing."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


class ResidualBlock(nn.Module):
    """Norm, SiLU, convolution; norm, scale and shift by what is told, SiLU, dropout, convolution; plus the input.

    Args:
        width: channels in.
        out: channels out.
        told: width of the embedding that scales and shifts.
        dims: 2 or 3.
        resample: halve ("down", average) or double ("up", nearest) both branches after the first SiLU.
        dropout: probability.

    Source: Dhariwal and Nichol, Diffusion models beat GANs on image synthesis, 2021, appendix.
    """

    def __init__(
        self,
        width: int,
        out: int,
        *,
        told: int,
        dims: int,
        resample: Resample = "same",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        conv = layer("Conv", dims)
        self.norm_in = group_norm(width)
        self.conv_in = conv(width, out, 3, padding=1)
        self.told = nn.Linear(told, 2 * out)
        self.norm_out = group_norm(out)
        self.dropout = nn.Dropout(dropout)
        self.conv_out = zeroed(conv(out, out, 3, padding=1))
        self.skip = nn.Identity() if width == out else conv(width, out, 1)
        self.resample: nn.Module = nn.Identity()
        if resample == "down":
            self.resample = layer("AvgPool", dims)(2)
        elif resample == "up":
            self.resample = nn.Upsample(scale_factor=2, mode="nearest")

    def forward(self, features: Tensor, told: Tensor) -> Tensor:
        """(B, width, ...) and (B, told), which has gone through SiLU, to (B, out, ...)."""
        # Without gradients nobody needs what was before, and computing in place takes a twentieth off a pass.
        spare = not torch.is_grad_enabled()
        hidden = self.resample(nn.functional.silu(self.norm_in(features), inplace=spare))
        hidden = self.conv_in(hidden)
        scale, shift = self.told(told).reshape(len(told), -1, *[1] * (features.ndim - 2)).chunk(2, dim=1)
        hidden = self.norm_out(hidden)
        hidden = hidden.mul_(1 + scale).add_(shift) if spare else hidden * (1 + scale) + shift
        hidden = self.conv_out(self.dropout(nn.functional.silu(hidden, inplace=spare)))
        result: Tensor = self.skip(self.resample(features)) + hidden
        return result


class SelfAttention(nn.Module):
    """Every place looks at every other; plus the input.

    Args:
        width: channels.
        head_width: channels of a head; narrower features have one head.
    """

    def __init__(self, width: int, *, head_width: int) -> None:
        super().__init__()
        self.heads = max(1, width // head_width)
        if width % self.heads:
            raise ValueError(f"{width} channels cannot be shared by {self.heads} heads of attention")
        self.norm = group_norm(width)
        self.ask = nn.Linear(width, 3 * width)
        self.answer = zeroed(nn.Linear(width, width))

    def forward(self, features: Tensor) -> Tensor:
        """(B, width, ...) to the same."""
        number, width = features.shape[:2]
        tokens = self.norm(features).flatten(2).transpose(1, 2)
        asked = self.ask(tokens).reshape(number, -1, 3, self.heads, width // self.heads)
        queries, keys, values = asked.permute(2, 0, 3, 1, 4)
        found = nn.functional.scaled_dot_product_attention(queries, keys, values)
        found = self.answer(found.transpose(1, 2).reshape(number, -1, width))
        return features + found.transpose(1, 2).reshape(features.shape)


def time_embedding(times: Tensor, width: int) -> Tensor:
    """Cosines and sines of times at falling frequencies, 1 to 1e-4: (B,) to (B, width) float32; `width` even."""
    half = width // 2
    rates = torch.exp(torch.arange(half, device=times.device) * (-math.log(1e4) / half))
    angles = times.float()[:, None] * rates
    return torch.cat([angles.cos(), angles.sin()], dim=1)
