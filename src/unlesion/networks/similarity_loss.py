"""Structural similarity as a loss: the same formula as `ssim_map`, computed faster."""

from __future__ import annotations

import torch
from torch import Tensor

from unlesion.networks.roi import roi_mean
from unlesion.networks.smoothing import gaussian_blur

SIGMA = 1.5


def similarity_loss(first: Tensor, second: Tensor, roi: Tensor) -> Tensor:
    """1 - SSIM, mean inside the roi: a float32 scalar, 0 to 2.

    The window is a Gaussian of 1.5 pixels, taken along one axis after the other; it ends at the picture's border, where
    images are 0 in any case.

    Args:
        first: (B, C, ...).
        second: the same.
        roi: (B, 1, ...) bool.

    Source: Wang et al., Image quality assessment: from error visibility to structural similarity, IEEE TIP 2004, eq. 13,
    with a span of grey values of 1.
    """
    with torch.autocast(first.device.type, enabled=False):
        a, b = first.float(), second.float()
        planes = a.shape[1]
        blurred = gaussian_blur(torch.cat([a, b, a * a, b * b, a * b], dim=1), SIGMA)
        mean_a, mean_b, square_a, square_b, both = blurred.split(planes, dim=1)
        variance = (square_a - mean_a * mean_a) + (square_b - mean_b * mean_b)
        covariance = both - mean_a * mean_b
        small, smaller = 0.03**2, 0.01**2
        luminance = (2.0 * mean_a * mean_b + smaller) / (mean_a * mean_a + mean_b * mean_b + smaller)
        return 1.0 - roi_mean(luminance * (2.0 * covariance + small) / (variance + small), roi)
