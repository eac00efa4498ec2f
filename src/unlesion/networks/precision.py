"""How exactly a network computes."""

from __future__ import annotations

from typing import Literal

import torch


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
