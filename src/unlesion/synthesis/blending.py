"""Partial volume: mixing signals by fraction, and averaging fine voxels into coarse ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def blend(background: Array, foreground: Array | float, fraction: Array) -> Array:
    """`background` where `fraction` is 0, `foreground` where it is 1 (to the last digits of float32); a linear mixture between."""
    return np.where(fraction > 0, background + fraction * (foreground - background), background).astype(
        np.float32
    )


def average_blocks(fine: Array, factor: int) -> Array:
    """Mean over blocks of `factor`^3 voxels: what a larger voxel holds."""
    if factor == 1:
        return fine
    x, y, z = (side // factor * factor for side in fine.shape)
    total = fine[:x, :y, :z]
    for axis in range(3):
        # Strided sums, one axis after the other: several times faster than a mean over a reshaped array.
        take = [slice(None)] * 3
        parts = []
        for first in range(factor):
            take[axis] = slice(first, None, factor)
            parts.append(total[tuple(take)])
        total = sum(parts[1:], start=parts[0])
    return np.asarray(total / np.float32(factor**3), dtype=np.float32)
