"""What a scanner does to an ideal image: bias field, resolution, Rician noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unlesion.synthesis.fields import smooth_field
from unlesion.synthesis.space import Space

Array = NDArray[np.float32]


def bias_field(space: Space, strength: float, rng: np.random.Generator, *, scale_mm: float = 80.0) -> Array:
    """A smooth multiplicative field around 1, whose logarithm has standard deviation `strength`."""
    return np.exp(np.float32(strength) * smooth_field(space, scale_mm, rng))


def limit_resolution(image: Array, fwhm_mm: tuple[float, float, float], spacing: float) -> Array:
    """Blur by a Gaussian point spread function of the given full widths at half maximum."""
    sigma = [width / 2.3548 / spacing for width in fwhm_mm]
    return ndimage.gaussian_filter(image, sigma, truncate=3.0, mode="nearest").astype(np.float32)


def rician(image: Array, real: Array, imaginary: Array) -> Array:
    """Magnitude of a complex image with Gaussian noise in both parts (Gudbjartsson & Patz, MRM 1995).

    The noise is handed in, not drawn, so that an image and its healthy twin can share it.
    """
    return np.hypot(image + real, imaginary).astype(np.float32)
