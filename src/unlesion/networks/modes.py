"""Asking a network without disturbing it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def asking(network: nn.Module, *, gradients: bool = False) -> Iterator[None]:
    """Evaluation mode within the block, whatever held before and holds again after.

    Args:
        network: what is asked.
        gradients: also let derivatives be taken, even where the caller switched them off (tensors
            that come from outside must be cloned inside the block first).
    """
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        if gradients:
            with torch.inference_mode(False), torch.enable_grad():
                yield
        else:
            with torch.no_grad():
                yield
    finally:
        for module, training in modes.items():
            module.training = training
