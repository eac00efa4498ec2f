"""Textures: sums of smooth fields over octaves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unlesion.synthesis.fields import smooth_field
from unlesion.synthesis.space import Space

Array = NDArray[np.float32]


def cloud(
    space: Space, scales_mm: tuple[float, ...], rng: np.random.Generator, *, falloff: float = 0.6
) -> Array:
    """A cloudy texture of standard deviation about 1: fields of the given scales, each `falloff` times weaker."""
    weights = np.array([falloff**octave for octave in range(len(scales_mm))], np.float32)
    weights /= np.sqrt((weights**2).sum())
    total = np.zeros(space.shape, np.float32)
    for weight, scale in zip(weights, scales_mm, strict=True):
        total += weight * smooth_field(space, scale, rng)
    return total
