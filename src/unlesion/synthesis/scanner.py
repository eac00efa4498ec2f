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


def thick_slices(image: Array, slice_mm: float, spacing: float) -> Array:
    """What slices of this thickness along the last axis show, on the voxels of `image`.

    The thickness is rounded to whole voxels. Slices lie without gaps; between their centres the image is interpolated linearly, as viewers do.
    """
    step = max(1, round(slice_mm / spacing))
    if step == 1:
        return image
    count = int(np.ceil(image.shape[2] / step))
    padded = np.pad(image, ((0, 0), (0, 0), (0, count * step - image.shape[2])), mode="edge")
    slabs = padded.reshape(*image.shape[:2], count, step).mean(axis=3)
    place = np.clip((np.arange(image.shape[2]) + 0.5) / step - 0.5, 0, count - 1)
    low = np.minimum(place.astype(int), max(count - 2, 0))
    share = (place - low).astype(np.float32)
    high = np.minimum(low + 1, count - 1)
    return np.asarray(slabs[..., low] * (1 - share) + slabs[..., high] * share, dtype=np.float32)


def ringing(image: Array, share: float) -> Array:
    """Gibbs ringing in the slice plane (first two axes): only the middle `share` (0..1] of k-space is measured."""
    keep = [np.abs(np.fft.fftfreq(count)) <= 0.5 * share for count in image.shape[:2]]
    mask = (keep[0][:, None] & keep[1][None, :])[..., None]
    return np.abs(np.fft.ifft2(np.fft.fft2(image, axes=(0, 1)) * mask, axes=(0, 1))).astype(np.float32)


def motion(image: Array, path_mm: Array, spacing: float) -> Array:
    """Ghosts of a head that moves along the phase-encoding direction (second axis) during the measurement.

    Args:
        image: (X, Y, Z) signal.
        path_mm: (Y,) where the head is while each line of k-space is measured, in the order of frequency.
        spacing: voxel size in mm.
    """
    frequency = np.fft.fftfreq(image.shape[1])
    lines = np.fft.ifftshift(path_mm) / spacing
    phase = np.exp(-2j * np.pi * frequency * lines).astype(np.complex64)
    spectrum = np.fft.fft(image, axis=1) * phase[None, :, None]
    return np.abs(np.fft.ifft(spectrum, axis=1)).astype(np.float32)
