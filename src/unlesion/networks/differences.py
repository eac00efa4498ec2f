"""Slopes of images."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def slope(images: Tensor, axis: int) -> Tensor:
    """Half the difference of a pixel's two neighbours along an axis, in grey values per pixel; 0 at both ends.

    Args:
        images: (B, C, ...), 2-D or 3-D, of at least 2 pixels along the axis.
        axis: 2 is the first spatial one.

    Returns:
        The same shape.
    """
    length = images.shape[axis] - 2
    inner = 0.5 * (images.narrow(axis, 2, length) - images.narrow(axis, 0, length))
    return _with_ends(inner, axis)


def slopes_inside(images: Tensor, roi: Tensor) -> Tensor:
    """Steepness of the image, the gradient's length; 0 where a neighbour lies outside the roi.

    Args:
        images: (B, C, ...).
        roi: (B, 1, ...) bool.

    Returns:
        (B, C, ...) >= 0.
    """
    total = torch.zeros_like(images)
    for axis in range(2, images.ndim):
        length = roi.shape[axis] - 2
        both = roi.narrow(axis, 2, length) & roi.narrow(axis, 0, length)
        total = total + (slope(images, axis) * _with_ends(both, axis)).square()
    return total.sqrt() * roi


def _with_ends(inner: Tensor, axis: int) -> Tensor:
    """Zeros before and after."""
    padding = [0] * (2 * (inner.ndim - 2))
    place = 2 * (inner.ndim - 1 - axis)
    padding[place] = padding[place + 1] = 1
    return nn.functional.pad(inner, padding)
