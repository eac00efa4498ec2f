"""Contrast-limited adaptive histogram equalisation of tensors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def adaptive_equalise(images: Tensor, *, ceiling: float) -> Tensor:
    """scikit-image's `equalize_adapthist` at its defaults, on each channel of each image by itself.

    The window is an eighth of the image's sides, the clip limit 0.01, with 256 bins. The function stretches
    each image between its own darkest and brightest pixel before and after.

    Args:
        images: (B, C, ...), 2-D or 3-D.
        ceiling: grey values are cut to [0, ceiling] before.

    Returns:
        The same shape, float32, 0 to 1, on the images' device.
    """
    # scikit-image takes a second to import.
    from skimage.exposure import equalize_adapthist

    scaled = (images.detach().float().clamp(0.0, ceiling) / ceiling).cpu().numpy()
    out = np.empty_like(scaled)
    for image, place in zip(
        scaled.reshape(-1, *scaled.shape[2:]), np.ndindex(*scaled.shape[:2]), strict=True
    ):
        # Nothing can be told apart in an image of one grey.
        out[place] = equalize_adapthist(image) if np.ptp(image) > 0 else 0.0
    return torch.from_numpy(out).to(images.device)
