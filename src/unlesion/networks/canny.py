"""Canny's edges of an image, in 2-D and 3-D."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unlesion.networks.edges import dilated
from unlesion.networks.smoothing import blur_inside

# Weak edges reach at most this far from a strong one.
REACH = 16


def canny_edges(images: Tensor, roi: Tensor, *, sigma: float = 1.0, low: float, high: float) -> Tensor:
    """Ridges of the gradient's magnitude that are strong, or weak and joined to strong ones.

    Args:
        images: (B, C, ...); of several channels the steepest counts.
        roi: (B, 1, ...) bool; edges lie inside it, and its border is none.
        sigma: Gaussian blur before, in pixels.
        low: grey values per pixel above which an edge is weak.
        high: above which it is strong.

    Returns:
        (B, 1, ...) float32 of 0 and 1.

    Source: Canny, A computational approach to edge detection, IEEE TPAMI 1986; with interpolated neighbours.
    """
    with torch.autocast(images.device.type, enabled=False):
        smooth = blur_inside(images.float(), roi, sigma)
        gradient = _steepest(smooth, roi)
        size = gradient.square().sum(1, keepdim=True).sqrt()
        thin = _ridges(size, gradient / size.clamp(min=1e-6)) & roi
    weak, found = thin & (size > low), thin & (size > high)
    for _ in range(REACH):
        found = (dilated(found.float()) > 0) & weak
    return found.float()


def _steepest(images: Tensor, roi: Tensor) -> Tensor:
    """(B, dims, ...) central differences of the channel where they are largest; 0 beside pixels outside the roi."""
    dims = images.ndim - 2
    each = []
    for axis in range(2, images.ndim):
        length = images.shape[axis] - 2
        inner = (images.narrow(axis, 2, length) - images.narrow(axis, 0, length)) / 2
        both = roi.narrow(axis, 2, length) & roi.narrow(axis, 0, length)
        # The picture's own border is no edge.
        padding = [0, 0] * (images.ndim - 1 - axis) + [1, 1]
        each.append(nn.functional.pad(inner * both, padding))
    gradient = torch.stack(each, dim=2)
    strongest = gradient.square().sum(2, keepdim=True).argmax(1, keepdim=True)
    return gradient.gather(1, strongest.expand(-1, 1, dims, *images.shape[2:]))[:, 0]


def _ridges(size: Tensor, direction: Tensor) -> Tensor:
    """Where (B, 1, ...) values are at least those one pixel ahead and behind along (B, dims, ...) unit vectors; both of two that tie."""
    sides = size.shape[2:]
    lines = [torch.arange(side, device=size.device, dtype=torch.float32) for side in sides]
    points = torch.stack(torch.meshgrid(*lines, indexing="ij"), dim=-1)
    scale = torch.tensor([max(side - 1, 1) for side in sides], device=size.device) / 2
    along = direction.movedim(1, -1)
    best = torch.ones_like(size, dtype=torch.bool)
    for sign in (1.0, -1.0):
        places = (points + sign * along) / scale - 1.0
        # grid_sample takes the last axis first.
        there = nn.functional.grid_sample(size, places.flip(-1), align_corners=True)
        best &= size >= there - 1e-6
    return best
