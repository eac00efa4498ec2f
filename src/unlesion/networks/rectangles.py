"""A wide rectangle erased near the middle of an image, as a rough stand-in for a lesion."""

from __future__ import annotations

import torch
from torch import Tensor

from unlesion.networks.draws import normal, uniform

SPREAD = 0.3
# Mean length in sides of the image, and how much of the drawn number is added: last axis, other axes.
LAST, OTHERS = (0.5, 0.6 / 4), (0.25, 0.3 / 4)


def erase_rectangle(images: Tensor, *, probability: float, generator: torch.Generator) -> Tensor:
    """Set a rectangle (a cuboid in volumes) of every image to 0, each image its own.

    Along the last axis it is half as long as the image, along the others a quarter, each length varied by a normal
    number f of standard deviation 0.3 (times 0.15 or 0.075). It lies in the middle, shifted along each axis by
    f/2 sides with another f; what leaves the image comes in again at the other end.

    Args:
        images: (B, C, ...).
        probability: that an image has a rectangle at all.
        generator: where all of that is drawn from.

    Returns:
        New images; what lies outside the rectangles is unchanged.

    Source: Patrício et al., arXiv 2406.00772, and its released code.
    """
    count, dims = len(images), images.ndim - 2
    drawn = SPREAD * normal((2, count, dims), generator=generator, device=images.device)
    chosen = uniform((count,), generator=generator, device=images.device) < probability
    erased = chosen.reshape(-1, *[1] * (dims + 1))
    for axis in range(dims):
        side = images.shape[2 + axis]
        mean, varied = LAST if axis == dims - 1 else OTHERS
        length = ((mean + varied * drawn[0, :, axis]) * side).round().clamp(1, side)
        start = ((side - length) / 2 + drawn[1, :, axis] * side / 2).round()
        place = torch.arange(side, device=images.device)
        along = torch.remainder(place - start[:, None], side) < length[:, None]
        shape = [count, 1, *[1] * dims]
        shape[2 + axis] = side
        erased = erased & along.reshape(shape)
    return images.masked_fill(erased, 0.0)
