"""Structural similarity as a map of the image's own size."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def ssim_map(
    first: Tensor, second: Tensor, *, window: int = 11, sigma: float = 1.5, data_range: float = 1.0
) -> Tensor:
    """SSIM at every pixel, computed by MONAI under a Gaussian window, in float32.

    Borders are mirrored, so that the map has the size of the images.

    Args:
        first: (B, C, ...), 2-D or 3-D.
        second: same shape.
        window: width of the window in pixels, odd; shrunk where the image is smaller.
        sigma: standard deviation of the window in pixels.
        data_range: the span of grey values to which the constants (0.01·L)² and (0.03·L)² refer.

    Returns:
        (B, C, ...) float32, 1 where the images agree; -1 at worst.

    Source: Wang et al., Image quality assessment: from error visibility to structural similarity,
    IEEE TIP 2004, eq. 13.
    """
    # MONAI takes seconds to import, which nobody should pay who needs no SSIM.
    from monai.metrics.regression import compute_ssim_and_cs

    dims = first.ndim - 2
    smallest = min(first.shape[2:])
    reach = min(window // 2, smallest - 1)
    size = 2 * reach + 1
    # Differences of squares in bfloat16 would be noise.
    with torch.autocast(first.device.type, enabled=False):
        padding = [reach, reach] * dims
        a = nn.functional.pad(first.float(), padding, mode="reflect")
        b = nn.functional.pad(second.float(), padding, mode="reflect")
        similarity, _ = compute_ssim_and_cs(
            a,
            b,
            spatial_dims=dims,
            kernel_size=[size] * dims,
            kernel_sigma=[sigma] * dims,
            data_range=data_range,
        )
    return similarity
