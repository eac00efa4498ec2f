"""From one value per channel to one per pixel."""

from __future__ import annotations

from typing import Literal

from torch import Tensor


def combine_channels(values: Tensor, how: Literal["mean", "strongest"]) -> Tensor:
    """(B, C, ...) to (B, ...): the channels' mean, or the value furthest from 0, sign kept."""
    if how == "mean":
        return values.mean(1)
    strongest = values.abs().argmax(1, keepdim=True)
    return values.gather(1, strongest)[:, 0]
