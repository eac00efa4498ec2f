"""Textures: sums of smooth fields over octaves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unlesion.synthesis.fields import smooth_field
from unlesion.synthesis.space import Space

Array = NDArray[np.float32]


def cloud(
    space: Space,
    scales_mm: tuple[float, ...],
    rng: np.random.Generator,
    *,
    falloff: float = 0.6,
    within: Space | None = None,
) -> Array:
    """A cloudy texture of standard deviation about 1: fields of the given scales, each `falloff` times weaker.

    `within` as for `smooth_field`.
    """
    weights = np.array([falloff**octave for octave in range(len(scales_mm))], np.float32)
    weights /= np.sqrt((weights**2).sum())
    total = np.zeros(space.shape, np.float32)
    for weight, scale in zip(weights, scales_mm, strict=True):
        total += weight * smooth_field(space, scale, rng, within=within)
    return total


def retexture(
    values: Array,
    fraction: Array,
    strength: float,
    *,
    texture: Array,
    amplitude: float,
    spacing: float | tuple[float, float, float],
    radius_mm: float = 3.0,
) -> Array:
    """Other texture, same mean: what no threshold on the intensity can find.

    Args:
        values: (X, Y, Z) image; 0 is outside.
        fraction: (X, Y, Z) 0..1, where.
        strength: above 0 rougher: `strength * amplitude * texture` is added. Below 0 smoother: that share of what
            is finer than `radius_mm` is taken away, all of it at -1.
        texture: (X, Y, Z), standard deviation about 1.
        amplitude: in the units of `values`.
        spacing: voxel size in mm, of all axes or of each.
        radius_mm: standard deviation of the Gaussian whose result counts as the local mean.

    Returns:
        The image, `values` itself where `fraction` is 0. Its mean over `fraction > 0.5` is that of `values`.
    """
    if strength > 0:
        change = np.float32(strength * amplitude) * texture
    else:
        inside = (values != 0).astype(np.float32)
        sigma = radius_mm / np.asarray(spacing, dtype=np.float64)
        weight = np.maximum(ndimage.gaussian_filter(inside, sigma), 1e-3)
        local = ndimage.gaussian_filter(values, sigma) / weight
        change = np.float32(-strength) * (local - values) * inside
    change = change * fraction
    core = fraction > 0.5
    core = core if core.any() else fraction > 0
    if core.any():
        change = change - fraction * (change[core].mean() / fraction[core].mean())
    return np.asarray(values + change, dtype=np.float32)
