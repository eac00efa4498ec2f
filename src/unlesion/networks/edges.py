"""Edges of a label map: where a tissue begins, and nothing of what is inside."""

from __future__ import annotations

import torch
from torch import Tensor


def anatomy_edges(anatomy: Tensor, *, each: bool = False) -> Tensor:
    """Morphological gradient of every plane: its dilation minus its erosion, both 3 pixels wide.

    0 inside homogeneous anatomy; a line of two pixels, one on either side, where two tissues meet.

    Args:
        anatomy: (B, K, ...), one-hot (or soft) over the planes.
        each: keep the edges of every plane apart, which also says whose border it is.

    Returns:
        (B, 1, ...), or (B, K, ...) with `each`; 0 to 1.
    """
    edges = dilated(anatomy) + dilated(-anatomy)
    return edges if each else edges.amax(1, keepdim=True)


def dilated(values: Tensor) -> Tensor:
    """(B, K, ...) the largest value within one pixel along every axis; as max pooling 3 wide does, only faster."""
    for axis in range(2, values.ndim):
        last = values.shape[axis] - 1
        first, rest = values.narrow(axis, 0, last), values.narrow(axis, 1, last)
        steps = torch.maximum(first, rest)
        ahead = torch.cat([steps, values.narrow(axis, last, 1)], dim=axis)
        behind = torch.cat([values.narrow(axis, 0, 1), steps], dim=axis)
        values = torch.maximum(ahead, behind)
    return values
