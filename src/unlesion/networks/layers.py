"""torch's layers by number of spatial dimensions, so that one network serves slices and volumes."""

from __future__ import annotations

from typing import Any, cast

from torch import nn


def layer(kind: str, dims: int) -> type[nn.Module]:
    """A class of `torch.nn` in its 2-D or 3-D form.

    Args:
        kind: the name without its ending: "Conv", "ConvTranspose", "BatchNorm", "AvgPool",
            "ReflectionPad", "Dropout", ...
        dims: 2 or 3.

    Returns:
        For example `torch.nn.Conv2d` for ("Conv", 2).
    """
    if dims not in (2, 3):
        raise ValueError(f"networks have 2 or 3 spatial dimensions, not {dims}")
    found: Any = getattr(nn, f"{kind}{dims}d")
    return cast(type[nn.Module], found)
