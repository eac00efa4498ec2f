"""Places in images: a random pixel of a region, and an image moved so that one place lies at another."""

from __future__ import annotations

import torch
from torch import Tensor


def place_inside(roi: Tensor, share: Tensor) -> Tensor:
    """The pixel of each region at a share of all its pixels; uniform shares give uniform pixels.

    Args:
        roi: (B, 1, ...) bool; where it is empty the image's last pixel is given.
        share: (B,) in [0, 1).

    Returns:
        (B, dims) int64, the pixel's number along each axis.
    """
    number = roi.flatten(1).long().cumsum(1)
    wanted = (share * number[:, -1]).long() + 1
    flat = (number < wanted[:, None]).sum(1).clamp(max=number.shape[1] - 1)
    places = []
    for side in reversed(roi.shape[2:]):
        places.append(flat % side)
        flat = flat // side
    return torch.stack(places[::-1], dim=1)


def shifted(images: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """Each image moved in a circle, so that its pixel `source` comes to lie at `target`.

    Args:
        images: (B, C, ...).
        source: (B, dims) int64.
        target: (B, dims) int64.
    """
    sides = images.shape[2:]
    flat = torch.zeros(len(images), *[1] * len(sides), dtype=torch.long, device=images.device)
    for axis, side in enumerate(sides):
        line = torch.arange(side, device=images.device) + (source - target)[:, axis, None]
        shape = [len(images), *[1] * len(sides)]
        shape[1 + axis] = side
        flat = flat * side + torch.remainder(line, side).reshape(shape)
    index = flat.flatten(1)[:, None].expand(-1, images.shape[1], -1)
    return images.flatten(2).gather(2, index).reshape(images.shape)
