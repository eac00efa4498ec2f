"""Multiple sclerosis: ovoid plaques, most of them touching the ventricles at a right angle."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unlesion.phantom.anatomy import Anatomy
from unlesion.phantom.pathologies.base import (
    Lesion,
    Patch,
    Pathology,
    around,
    gradual_sizes,
    nearest,
    pick_centre,
)
from unlesion.synthesis import average_blocks, cloud, ellipsoid, random_axes, soften

Reals = NDArray[np.floating[Any]]


def grow_sclerosis(anatomy: Anatomy, rng: np.random.Generator, volume_ml: float | None) -> Lesion:
    """Typically five to about thirty plaques of 4 to 20 mm length; little volume has fewer and smaller ones."""
    factor = anatomy.white.shape[0] // anatomy.space.shape[0]
    white = average_blocks(anatomy.white, factor)
    away = ndimage.gaussian_filter(anatomy.from_ventricles, 1.0)
    outward = np.stack(np.gradient(away))
    near = np.exp(-(((anatomy.from_ventricles - 4) / 4) ** 2))
    juxtacortical = np.exp(-(((anatomy.depth - 9) / 4) ** 2))
    place = (white > 0.6) * (anatomy.height > -25) * (0.03 + near + 0.12 * juxtacortical)

    count = int(np.clip(np.exp(rng.normal(np.log(12), 0.5)), 5, 32))
    if volume_ml is None:
        return Lesion([_plaque(anatomy, place, outward, 1.0, rng) for _ in range(count)])
    many = float(np.clip(count * (volume_ml / 3) ** 0.6, 1, 40))
    scale = (volume_ml / (0.2 * many)) ** (1 / 3)
    return Lesion([_plaque(anatomy, place, outward, scale * size, rng) for size in gradual_sizes(many)])


def _plaque(anatomy: Anatomy, place: Reals, outward: Reals, scale: float, rng: np.random.Generator) -> Patch:
    """One plaque, `scale` times as large as drawn."""
    centre = pick_centre(anatomy, place.astype(np.float32), rng)
    index = nearest(anatomy, centre)
    touching = anatomy.from_ventricles[index] < 10
    length = scale * float(np.clip(np.exp(rng.normal(np.log(4.8 if touching else 3.2), 0.4)), 1.8, 10))
    radii = length * np.array([1.0, rng.uniform(0.5, 0.75), rng.uniform(0.5, 0.8)])
    axes = random_axes(rng, outward[(slice(None), *index)].astype(np.float64) if touching else None)
    window, part = anatomy.fine.window(centre, length + 6)
    small = min(1.0, length / 3)
    wobble = 0.4 * small * max(1.0, length / 5)
    distance = ellipsoid(part, centre, radii, axes) + wobble * cloud(
        part, (5.0, 3.0), rng, within=around(centre, 30)
    )
    tissue = np.clip(1.25 * anatomy.white[window] + 0.35 * anatomy.grey[window], 0, 1)
    return Patch(window, "plaque", soften(distance, 2.2 * small) * tissue, float(rng.uniform(0.55, 1.25)))


sclerosis = Pathology(name="multiple sclerosis", grow=grow_sclerosis, smallest_ml=0.05, largest_ml=40)
