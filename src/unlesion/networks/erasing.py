"""Squares erased from images, to be filled in again."""

from __future__ import annotations

import torch
from torch import Tensor

from unlesion.networks.draws import uniform


def erase_squares(images: Tensor, roi: Tensor, *, side: int, most: int, generator: torch.Generator) -> Tensor:
    """Set 1 to `most` squares (cubes) of every image to 0, each image its own.

    Squares lie inside the bounding box of the image's roi as far as it is large enough, at uniformly
    drawn places; they may overlap.

    Args:
        images: (B, C, ...).
        roi: (B, 1, ...) bool.
        side: of a square, in pixels.
        most: largest number of squares; 1 to `most` are equally likely.
        generator: where the places come from.

    Returns:
        New images; what lies outside the squares is unchanged.
    """
    dims = images.ndim - 2
    count = len(images)
    number = 1 + (uniform((count,), generator=generator, device=images.device) * most).floor()
    places = uniform((count, most, dims), generator=generator, device=images.device)
    erased = torch.zeros(count, most, *images.shape[2:], dtype=torch.bool, device=images.device)
    erased |= (torch.arange(most, device=images.device) < number[:, None]).reshape(count, most, *[1] * dims)
    for axis in range(dims):
        length = images.shape[2 + axis]
        others = tuple(2 + a for a in range(dims) if a != axis)
        present = roi.any(dim=1, keepdim=True).amax(dim=others).reshape(count, length)
        index = torch.arange(length, device=images.device)
        low = torch.where(present, index, length).amin(1).clamp(max=length - 1).float()
        high = torch.where(present, index, -1).amax(1).clamp(min=0).float()
        room = (high - low + 1 - side).clamp(min=0)
        start = (low[:, None] + (places[..., axis] * (room[:, None] + 1)).floor()).clamp(min=0)
        along = (index >= start[..., None]) & (index < start[..., None] + side)
        shape = [count, most, *[1] * dims]
        shape[2 + axis] = length
        erased &= along.reshape(shape)
    return images.masked_fill(erased.any(dim=1, keepdim=True), 0.0)
