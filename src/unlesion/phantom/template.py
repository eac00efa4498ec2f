"""The average anatomy that virtual subjects are warped from: MNI152 (ICBM 2009a) as packaged with nilearn.

Fonov et al., Unbiased average age-appropriate atlases for pediatric studies, NeuroImage 2011. Nothing is
downloaded; the arrays are read once per process.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.float32]

# World box (RAS mm) that holds the template's brain, with a margin.
_LOW, _HIGH = (-76, -112, -72), (76, 78, 86)
# Around thalamus and basal ganglia the grey-white mixture is real, not blur: centre and half axes in mm.
_DEEP_CENTRE, _DEEP_RADII = (0.0, -8.0, 4.0), (38.0, 40.0, 24.0)


@dataclass(frozen=True, eq=False)
class Template:
    """Template arrays at 1 mm on one box; voxel (0, 0, 0) has its centre at `origin` (RAS mm).

    Attributes:
        white, grey, fluid: tissue probabilities, adding up to `brain`.
        brain: 0..1 soft brain mask.
        detail: what the T1 template holds beyond its tissue mixture, in units of the white-grey contrast.
        cortex: 0..1, where folds are: 1 near the surface, 0 around the deep nuclei.
        outer: 0..1, where a person has sulci of their own: the outer shell of the cerebrum, not the deep nuclei.
        ventricles: 0..1 lateral ventricles.
        opening: (3, ...) mm, unit-size velocity that widens the ventricles (backward map).
    """

    origin: tuple[float, float, float]
    white: Array
    grey: Array
    fluid: Array
    brain: Array
    detail: Array
    cortex: Array
    outer: Array
    ventricles: Array
    opening: Array

    def voxels(self, world: Array) -> Array:
        """World mm (3, ...) to voxel coordinates (3, ...)."""
        origin = np.asarray(self.origin, np.float32).reshape(3, *[1] * (world.ndim - 1))
        return world - origin


@lru_cache(maxsize=1)
def load_template() -> Template:
    """Read and prepare the template (about a second, once per process)."""
    from nilearn.datasets import (
        load_mni152_gm_template,
        load_mni152_template,
        load_mni152_wm_template,
    )

    image = load_mni152_template(resolution=1)
    corner = np.rint(np.asarray(_LOW) - image.affine[:3, 3]).astype(int)
    size = np.asarray(_HIGH) - np.asarray(_LOW)
    box = tuple(slice(max(first, 0), first + count) for first, count in zip(corner, size, strict=True))
    origin = tuple(float(part.start + shift) for part, shift in zip(box, image.affine[:3, 3], strict=True))
    t1, grey, white = (
        np.ascontiguousarray(loader(resolution=1).get_fdata(dtype=np.float32)[box])
        for loader in (load_mni152_template, load_mni152_gm_template, load_mni152_wm_template)
    )
    mask = ndimage.binary_fill_holes(ndimage.binary_opening(t1 > 0.05, iterations=2))
    brain = np.clip(ndimage.gaussian_filter(mask.astype(np.float32), 1.0), 0, 1) * mask
    grey, white = grey * mask, white * mask
    total = np.maximum(grey + white, 1)
    grey, white = grey / total, white / total
    fluid = mask - grey - white

    x, y, z = (
        np.arange(count, dtype=np.float32).reshape(shape) + np.float32(start)
        for count, start, shape in zip(mask.shape, origin, ((-1, 1, 1), (1, -1, 1), (1, 1, -1)), strict=True)
    )
    depth = ndimage.distance_transform_edt(mask).astype(np.float32)
    deep = sum(((axis - c) / r) ** 2 for axis, c, r in zip((x, y, z), _DEEP_CENTRE, _DEEP_RADII, strict=True))
    cortex = np.clip((np.sqrt(deep) - 0.8) / 0.5, 0, 1) * np.clip(1.6 - depth / 25, 0, 1)
    ventricles = _lateral_ventricles(fluid, x, y, z)
    return Template(
        origin=origin,  # type: ignore[arg-type]
        white=white,
        grey=grey,
        fluid=fluid.astype(np.float32),
        brain=brain,
        detail=_detail(t1, white, grey, fluid, mask),
        cortex=cortex.astype(np.float32),
        outer=np.clip((np.sqrt(deep) - 1.0) / 0.3, 0, 1).astype(np.float32) * mask,
        ventricles=ventricles,
        opening=_opening(ventricles),
    )


def _detail(t1: Array, white: Array, grey: Array, fluid: Array, mask: NDArray[np.bool_]) -> Array:
    """The T1 template minus its best tissue mixture, over the white-grey contrast."""
    inner = ndimage.binary_erosion(mask, iterations=3)
    mixture = np.stack([white[inner], grey[inner], fluid[inner]], axis=1)
    means, *_ = np.linalg.lstsq(mixture, t1[inner], rcond=None)
    rest = t1 - (white * means[0] + grey * means[1] + fluid * means[2])
    rest = np.where(inner, rest - ndimage.gaussian_filter(rest * inner, 8.0), 0)
    return np.clip(rest / (means[0] - means[1]), -1, 1).astype(np.float32)


def _lateral_ventricles(fluid: Array, x: Array, y: Array, z: Array) -> Array:
    """Fluid inside a box around the lateral ventricles, the largest connected parts of it."""
    box = (np.abs(x) < 34) & (y > -50) & (y < 40) & (z > -14) & (z < 36)
    # Leave out the cisterns behind the third ventricle and the insular fissures.
    box = box & ~((np.abs(x) < 14) & (y < -20) & (z < 10)) & ~((np.abs(x) > 24) & (y > -18))
    labels, count = ndimage.label((fluid > 0.5) & box)
    sizes = ndimage.sum_labels(np.ones_like(labels), labels, np.arange(1, count + 1))
    keep = np.isin(labels, 1 + np.flatnonzero(sizes > 800))
    return np.clip(ndimage.gaussian_filter(keep.astype(np.float32), 0.7), 0, 1)


def _opening(ventricles: Array) -> Array:
    """Velocity towards the ventricles, largest length 1 mm, a few voxels smooth."""
    wide = ndimage.gaussian_filter(ventricles, 6.0)
    gradient = np.stack(np.gradient(wide)).astype(np.float32)
    return gradient / np.sqrt((gradient**2).sum(axis=0)).max()
