"""Batch statistics that are used and not remembered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def unrecorded(network: nn.Module) -> Iterator[None]:
    """Within the block batch normalisation normalises as ever, but its running statistics stay.

    For batches of a kind that detection never sees: detection normalises by the running statistics.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
