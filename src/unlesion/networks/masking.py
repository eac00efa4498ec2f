"""Hiding parts of an image: rectangles of it, or some of its frequencies."""

from __future__ import annotations

import torch
from torch import Tensor

from unlesion.networks.diffusion.boxes import masks
from unlesion.networks.draws import uniform


def random_rectangles(roi: Tensor, *, most: int, share: float, generator: torch.Generator) -> Tensor:
    """From none to `most` rectangles an image, anywhere in the bounding box of its roi: (B, 1, ...) bool.

    Args:
        roi: (B, 1, ...) bool.
        most: rectangles; how many an image has is drawn from 0 to this.
        share: longest side of a rectangle, in sides of the bounding box; the shortest is half of it.
        generator: of the CPU.
    """
    number, dims, device = len(roi), roi.ndim - 2, roi.device
    low, high = bounding_boxes(roi)
    extent = (high - low)[:, None]
    drawn = uniform((number, most, 2, dims), generator=generator, device=device)
    lengths = (extent * share * (0.5 + 0.5 * drawn[:, :, 0])).round().clamp(min=1)
    firsts = low[:, None] + (drawn[:, :, 1] * (extent - lengths + 1).clamp(min=1)).floor()
    made = masks(firsts.flatten(0, 1), (firsts + lengths).flatten(0, 1), tuple(roi.shape[2:]))
    count = torch.randint(most + 1, (number, 1), generator=generator).to(device)
    there = torch.arange(most, device=device) < count
    return (made.reshape(number, most, *roi.shape[2:]) & _like(there, roi)).any(1, keepdim=True)


def bounding_boxes(roi: Tensor) -> tuple[Tensor, Tensor]:
    """First pixels of each image's roi and first pixels after it, twice (B, dims); 0 and 0 without any roi."""
    low, high = [], []
    for axis in range(2, roi.ndim):
        others = [other for other in range(1, roi.ndim) if other != axis]
        along = roi.sum(others) > 0
        some = along.any(1)
        low.append(along.int().argmax(1) * some)
        high.append((along.shape[1] - along.flip(1).int().argmax(1)) * some)
    return torch.stack(low, dim=1), torch.stack(high, dim=1)


def masked_frequencies(images: Tensor, limits: Tensor, keep: Tensor) -> Tensor:
    """Images of their low frequencies alone, or of all but these.

    Args:
        images: (B, C, ...) float32.
        limits: (B,) highest of the low frequencies along each axis, in cycles per pixel; the mean is always low.
        keep: (B,) bool: keep the low ones; false drops them.

    Returns:
        Like `images`. What is kept and what is dropped add up to the image.
    """
    sides = images.shape[2:]
    along = [torch.fft.fftfreq(side, device=images.device).abs() for side in sides]
    highest = torch.stack(torch.meshgrid(*along, indexing="ij")).amax(0)
    low = highest <= _like(limits[:, None], images)
    axes = tuple(range(2, images.ndim))
    spectrum = torch.fft.fftn(images, dim=axes)
    return torch.fft.ifftn(spectrum * (low == _like(keep[:, None], images)), dim=axes).real


def _like(values: Tensor, images: Tensor) -> Tensor:
    """(B, n) values with as many further axes as images have."""
    return values.reshape(*values.shape, *[1] * (images.ndim - 2))
