"""White-matter hyperintensities of the ageing brain: caps and bands along the ventricles, and deep spots."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from unlesion.phantom.anatomy import Anatomy
from unlesion.phantom.pathologies.base import Lesion, Patch, pick_centre
from unlesion.synthesis import average_blocks, carry, cloud, ellipsoid, random_axes, soften


def hyperintensities(anatomy: Anatomy, rng: np.random.Generator) -> Lesion:
    """Caps on the horns of both lateral ventricles, thin bands between them, and 3 to 25 deep spots."""
    severity = float(rng.uniform(0.35, 1.3))
    patches = [_caps(anatomy, severity, rng)]

    factor = anatomy.white.shape[0] // anatomy.space.shape[0]
    white = average_blocks(anatomy.white, factor)
    place = (white > 0.85) * (anatomy.from_ventricles > 7) * (anatomy.depth > 8) * (anatomy.height > 4)
    for _ in range(rng.poisson(9 * severity) + 3):
        centre = pick_centre(anatomy, place.astype(np.float32), rng)
        size = float(np.clip(np.exp(rng.normal(np.log(2.2), 0.35)), 1.3, 6))
        window, part = anatomy.fine.window(centre, size + 5)
        distance = ellipsoid(part, centre, size * rng.uniform(0.7, 1.2, 3), random_axes(rng))
        distance += 0.34 * cloud(part, (4.0,), rng)
        fraction = soften(distance, 2.4) * anatomy.white[window]
        patches.append(Patch(window, "gliosis", fraction, float(rng.uniform(0.5, 1.1))))
    return Lesion(patches)


def _caps(anatomy: Anatomy, severity: float, rng: np.random.Generator) -> Patch:
    """Thickness in mm varies along the ventricle: most at the ends of the horns, uneven everywhere."""
    touching = (anatomy.from_ventricles > 0) & (anatomy.from_ventricles < 4)
    y = np.broadcast_to(anatomy.space.axes()[1], anatomy.space.shape)
    front, back = (np.percentile(y[touching], share) if touching.any() else 0.0 for share in (97, 3))
    middle = np.array(anatomy.space.corner) + np.array(anatomy.space.extent) / 2
    window, part = anatomy.fine.window(middle, 72)
    y = part.axes()[1]
    horns = np.exp(-(((y - front) / 10) ** 2)) + 0.9 * np.exp(-(((y - back) / 12) ** 2))
    thickness = severity * (0.8 + 5.0 * horns) + 1.0 * severity * cloud(part, (16.0, 8.0), rng)
    # The corpus callosum is mostly spared.
    side = np.abs(carry(anatomy.side, anatomy.space, part))
    thickness = thickness * np.clip((side - 5) / 7, 0, 1)
    away = carry(ndimage.gaussian_filter(anatomy.from_ventricles, 0.7), anatomy.space, part)
    distance = away - thickness - 0.6
    fraction = soften(distance + 0.28 * cloud(part, (4.0,), rng), 3.0) * (away > 0.5)
    return Patch(window, "gliosis", fraction * anatomy.white[window] ** 1.5, float(rng.uniform(0.7, 1.2)))
