"""Local structural similarity of slices."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Gaussian window of the original paper: sigma 1.5 pixels cut off at a width of 11.
SIGMA, TRUNCATE = 1.5, 3.5
K1, K2 = 0.01, 0.03


def local_ssim(first: NDArray[Any], second: NDArray[Any], *, data_range: float = 1.0) -> NDArray[np.float32]:
    """SSIM around every pixel, slice by slice.

    Source: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to
    structural similarity", IEEE TIP 2004, eq. 13, with its Gaussian window.

    Args:
        first: (..., H, W).
        second: the same shape.
        data_range: difference between black and white.

    Returns:
        (..., H, W) float32 in -1..1; 1 where the images agree.
    """
    from scipy.ndimage import gaussian_filter

    # SSIM subtracts nearly equal numbers; single precision would leave noise in flat regions.
    x, y = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    sigma = (0.0,) * (x.ndim - 2) + (SIGMA, SIGMA)

    def smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
        out: NDArray[np.float64] = gaussian_filter(values, sigma, truncate=TRUNCATE)
        return out

    mean_x, mean_y = smooth(x), smooth(y)
    var_x = smooth(x * x) - mean_x**2
    var_y = smooth(y * y) - mean_y**2
    covariance = smooth(x * y) - mean_x * mean_y
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    above = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    below = (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    return (above / below).astype(np.float32)
