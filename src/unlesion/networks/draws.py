"""Random numbers from a given generator, delivered where they are needed."""

from __future__ import annotations

import torch
from torch import Tensor


def normal(shape: tuple[int, ...], *, generator: torch.Generator, device: torch.device) -> Tensor:
    """Standard normal float32, drawn on the generator's own device and moved to `device`.

    The same seed gives the same numbers wherever the network runs, as long as the generator stays.
    """
    return torch.randn(shape, generator=generator, device=generator.device).to(device, non_blocking=True)


def uniform(shape: tuple[int, ...], *, generator: torch.Generator, device: torch.device) -> Tensor:
    """Uniform float32 in [0, 1), drawn on the generator's own device and moved to `device`."""
    return torch.rand(shape, generator=generator, device=generator.device).to(device, non_blocking=True)
