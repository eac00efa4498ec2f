"""How exactly a network computes."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, Literal, ParamSpec

import torch
from torch import Tensor

Rest = ParamSpec("Rest")


def in_bfloat16(wanted: Literal["auto", "bf16", "32"], device: str) -> bool:
    """Whether to compute in bfloat16; "auto": only where the hardware multiplies in it.

    Args:
        wanted: "auto", "bf16" or "32".
        device: its type, such as "cpu" or "cuda".
    """
    if wanted != "auto":
        return wanted == "bf16"
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def without_autocast(
    function: Callable[Concatenate[Tensor, Rest], Tensor],
) -> Callable[Concatenate[Tensor, Rest], Tensor]:
    """A function that computes as exactly as its tensors are, also within autocast.

    For coordinates and grey values: bfloat16 tells 256 steps apart.
    """

    @wraps(function)
    def exact(first: Tensor, *args: Rest.args, **kwargs: Rest.kwargs) -> Tensor:
        with torch.autocast(first.device.type, enabled=False):
            return function(first, *args, **kwargs)

    return exact
