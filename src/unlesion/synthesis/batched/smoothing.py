"""Gaussian smoothing with a width of its own for each image."""

from __future__ import annotations

import torch
from torch import Tensor


def blur_each(values: Tensor, sigma: Tensor) -> Tensor:
    """Blur every image by its own sigma along all spatial axes.

    A Gaussian as long as the image, applied axis by axis as a matrix; what would come from beyond the border is
    left out, and the rest counts for more.

    Args:
        values: (B, C, ...).
        sigma: (B,) in pixels; 0 leaves the image exactly as it is.
    """
    out = values
    for axis in range(2, values.ndim):
        place = torch.arange(values.shape[axis], dtype=torch.float32, device=values.device)
        squared = (place[:, None] - place[None]).square()
        kernel = torch.exp(-0.5 * squared / sigma.clamp(min=1e-3).square()[:, None, None])
        kernel = kernel / kernel.sum(dim=2, keepdim=True)
        # (B, n, n) on whatever else there is: the axis is brought to the front and back.
        moved = out.movedim(axis, 1)
        out = (kernel @ moved.flatten(2)).reshape(moved.shape).movedim(1, axis)
    still = (sigma <= 0).reshape(-1, *[1] * (values.ndim - 1))
    return torch.where(still, values, out)
