"""Gaussian smoothing inside a region of interest."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def gaussian_kernel(sigma: float, *, truncate: float = 3.0) -> Tensor:
    """A normalised 1-D Gaussian of 2·ceil(truncate·sigma)+1 values, float32; sigma in pixels."""
    radius = max(1, math.ceil(truncate * sigma))
    places = torch.arange(-radius, radius + 1, dtype=torch.float32)
    weights = torch.exp(-0.5 * (places / sigma) ** 2)
    return weights / weights.sum()


def gaussian_blur(images: Tensor, sigma: float) -> Tensor:
    """Blur (B, C, ...) along all spatial axes with zeros around; sigma in pixels, 0 leaves it as is."""
    if sigma <= 0:
        return images
    dims = images.ndim - 2
    channels = images.shape[1]
    kernel = gaussian_kernel(sigma).to(images.device, images.dtype)
    convolve = (nn.functional.conv2d, nn.functional.conv3d)[dims - 2]
    for axis in range(dims):
        shape = [1] * dims
        shape[axis] = len(kernel)
        padding = [length // 2 for length in shape]
        weight = kernel.reshape(1, 1, *shape).expand(channels, 1, *shape).contiguous()
        images = convolve(images, weight, padding=padding, groups=channels)
    return images


def blur_inside(images: Tensor, roi: Tensor, sigma: float) -> Tensor:
    """Blur within the roi only: values outside neither leak in nor darken the rim (normalised convolution).

    Args:
        images: (B, C, ...).
        roi: (B, 1, ...) bool.
        sigma: in pixels; 0 only masks.

    Returns:
        (B, C, ...), 0 outside the roi.
    """
    inside = roi.to(images.dtype)
    if sigma <= 0:
        return images * inside
    weight = gaussian_blur(inside, sigma).clamp(min=1e-6)
    return gaussian_blur(images * inside, sigma) / weight * inside
