"""Multiple sclerosis: ovoid plaques, most of them touching the ventricles at a right angle."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from unlesion.phantom.anatomy import Anatomy
from unlesion.phantom.pathologies.base import Lesion, Patch, nearest, pick_centre
from unlesion.synthesis import average_blocks, cloud, ellipsoid, random_axes, soften


def sclerosis(anatomy: Anatomy, rng: np.random.Generator) -> Lesion:
    """Five to about thirty plaques of 4 to 20 mm length."""
    factor = anatomy.white.shape[0] // anatomy.space.shape[0]
    white = average_blocks(anatomy.white, factor)
    away = ndimage.gaussian_filter(anatomy.from_ventricles, 1.0)
    outward = np.stack(np.gradient(away))
    near = np.exp(-(((anatomy.from_ventricles - 4) / 4) ** 2))
    juxtacortical = np.exp(-(((anatomy.depth - 9) / 4) ** 2))
    place = (white > 0.6) * (anatomy.height > -25) * (0.03 + near + 0.12 * juxtacortical)

    patches = []
    for _ in range(int(np.clip(np.exp(rng.normal(np.log(12), 0.5)), 5, 32))):
        centre = pick_centre(anatomy, place.astype(np.float32), rng)
        index = nearest(anatomy, centre)
        touching = anatomy.from_ventricles[index] < 10
        length = float(np.clip(np.exp(rng.normal(np.log(4.8 if touching else 3.2), 0.4)), 1.8, 10))
        radii = length * np.array([1.0, rng.uniform(0.5, 0.75), rng.uniform(0.5, 0.8)])
        axes = random_axes(rng, outward[(slice(None), *index)] if touching else None)
        window, part = anatomy.fine.window(centre, length + 6)
        distance = ellipsoid(part, centre, radii, axes) + 0.4 * cloud(part, (5.0, 3.0), rng)
        tissue = np.clip(1.25 * anatomy.white[window] + 0.35 * anatomy.grey[window], 0, 1)
        patches.append(
            Patch(window, "plaque", soften(distance, 2.2) * tissue, float(rng.uniform(0.55, 1.25)))
        )
    return Lesion(patches)
