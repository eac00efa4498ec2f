"""Scans made by hand for the tests of preparing."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from unlesion.scans import Grid, Scan


def flat_scan(image: np.ndarray, *, spacing: float | None = None, key: str = "p", **others: Any) -> Scan:
    """A picture (rows, columns) or (channels, rows, columns) as a scan."""
    voxels = np.asarray(image, dtype=np.float32)
    voxels = (voxels[None] if voxels.ndim == 2 else voxels)[..., None]
    mm = (spacing or 1.0,) * 2 + (1.0,)
    return _scan(voxels, mm, known=spacing is not None, family="picture", key=key, **others)


def volume_scan(
    image: np.ndarray, *, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0), key: str = "v", **others: Any
) -> Scan:
    """A volume (rows, columns, slices) in canonical axes as a scan."""
    voxels = np.asarray(image, dtype=np.float32)
    voxels = voxels[None] if voxels.ndim == 3 else voxels
    return _scan(voxels, spacing, known=True, family="nifti", key=key, **others)


def _scan(
    voxels: np.ndarray, mm: tuple[float, float, float], *, known: bool, family: str, **others: Any
) -> Scan:
    affine = np.array([[0, -mm[1], 0, 0], [-mm[0], 0, 0, 0], [0, 0, mm[2], 0], [0, 0, 0, 1.0]])
    shape = voxels.shape[1:]
    grid = Grid(
        shape=shape,
        affine=affine,
        spacing=mm,
        spacing_known=known,
        family=family,
        file_shape=shape[:2] if shape[2] == 1 else shape,
    )
    modality = others.pop("modality", ("",) * voxels.shape[0])
    return Scan(voxels=voxels, grid=grid, modality=modality, **others)


def radius(shape: tuple[int, ...], centre: tuple[float, ...], axes: tuple[float, ...]) -> np.ndarray:
    """Elliptical radius: 1 on the ellipse (or ellipsoid) with these half axes in pixels."""
    grids = np.meshgrid(*[np.arange(size, dtype=float) for size in shape], indexing="ij")
    return np.sqrt(sum(((g - c) / a) ** 2 for g, c, a in zip(grids, centre, axes, strict=True)))


def brain_picture(size: int = 128, *, shift: tuple[float, float] = (0, 0), scale: float = 1.0) -> np.ndarray:
    """A skull-stripped brain: exactly 0 outside, grey rim, brighter inside, dark ventricles."""
    centre = (size / 2 + shift[0], size / 2 + shift[1])
    r = radius((size, size), centre, (0.42 * size * scale, 0.33 * size * scale))
    image = np.where(r < 1, 80.0, 0.0)
    image[r < 0.8] = 120.0
    for side in (-1, 1):
        ventricle = radius(
            (size, size), (centre[0], centre[1] + side * 0.06 * size), (0.12 * size, 0.03 * size)
        )
        image[ventricle < 1] = 30.0
    noise = np.random.default_rng(0).normal(0, 3, image.shape)
    return np.clip(np.where(image > 0, image + noise, 0), 0, 255)


def head_parts(size: int = 256) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A head with bright scalp, dark skull and grey brain in noisy air: image, brain, scalp."""
    centre = (size / 2, size / 2)
    r = radius((size, size), centre, (0.4 * size, 0.32 * size))
    brain, scalp = r < 0.82, (r > 0.92) & (r < 1.0)
    image = np.where(brain, 90.0, 4.0)
    image[scalp] = 240.0
    image = ndimage.gaussian_filter(image, 1.0)
    image += np.random.default_rng(1).normal(0, 2, image.shape)
    return np.clip(np.round(image), 0, 255), brain, scalp


def smooth_picture(size: int) -> np.ndarray:
    """Slow waves, 0.2 to 0.8, that any sensible resolution can show."""
    rows, columns = np.mgrid[:size, :size] / size
    return 0.5 + 0.15 * np.sin(2 * np.pi * rows) + 0.15 * np.cos(2 * np.pi * columns)
