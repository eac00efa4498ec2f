"""How exactly a network computes."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    return _multiplies_bfloat16()


def _multiplies_bfloat16() -> bool:
    """Whether this processor has instructions for it; without, it is emulated, and slower than float32."""
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    # On these, oneDNN says that it can wherever there is AVX-512, emulation included.
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Within the block, numbers too small for float32's exponent are 0, as they were outside again afterwards.

    They carry nothing, and a convolution that meets them is ten times slower on some processors. The switch belongs to a
    thread: further threads that computed before have their own.
    """
    before = bool((torch.full((), 1e-39) * 1.0).item() == 0.0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


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
