"""Partial volume: mixing signals by fraction, and averaging fine voxels into coarse ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def blend(background: Array, foreground: Array | float, fraction: Array) -> Array:
    """`background` where `fraction` is 0, `foreground` where it is 1, exactly; a linear mixture between."""
    return np.where(fraction > 0, background + fraction * (foreground - background), background).astype(
        np.float32
    )


def average_blocks(fine: Array, factor: int) -> Array:
    """Mean over blocks of `factor`^3 voxels: what a larger voxel holds."""
    if factor == 1:
        return fine
    x, y, z = (side // factor for side in fine.shape)
    blocks = fine[: x * factor, : y * factor, : z * factor].reshape(x, factor, y, factor, z, factor)
    return blocks.mean(axis=(1, 3, 5), dtype=np.float32)
