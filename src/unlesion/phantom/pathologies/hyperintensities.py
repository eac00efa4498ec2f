"""White-matter hyperintensities of the ageing brain: caps and bands along the ventricles, and deep spots."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unlesion.phantom.anatomy import Anatomy
from unlesion.phantom.pathologies.base import Lesion, Patch, Pathology, around, gradual_sizes, pick_centre
from unlesion.synthesis import average_blocks, carry, cloud, ellipsoid, random_axes, soften

Array = NDArray[np.float32]


def grow_hyperintensities(anatomy: Anatomy, rng: np.random.Generator, volume_ml: float | None) -> Lesion:
    """Caps on the horns of both lateral ventricles, thin bands between them, and typically 3 to 25 deep spots."""
    severity = float(rng.uniform(0.35, 1.3))
    if volume_ml is not None:
        severity = 0.4 * float(np.sqrt(volume_ml))
    patches = [_caps(anatomy, severity, rng)]

    factor = anatomy.white.shape[0] // anatomy.space.shape[0]
    white = average_blocks(anatomy.white, factor)
    place = (white > 0.85) * (anatomy.from_ventricles > 7) * (anatomy.depth > 8) * (anatomy.height > 4)
    if volume_ml is None:
        sizes = [1.0] * (int(rng.poisson(9 * severity)) + 3)
    else:
        growth = float(np.clip(severity, 0.35, 1.8)) ** 0.5
        sizes = [growth * size for size in gradual_sizes(float(np.clip(12 * severity, 1, 40)))]
    return Lesion([*patches, *(_spot(anatomy, place.astype(np.float32), size, rng) for size in sizes)])


def _spot(anatomy: Anatomy, place: Array, growth: float, rng: np.random.Generator) -> Patch:
    centre = pick_centre(anatomy, place, rng)
    size = growth * float(np.clip(np.exp(rng.normal(np.log(2.2), 0.35)), 1.3, 6))
    window, part = anatomy.fine.window(centre, size + 5)
    distance = ellipsoid(part, centre, size * rng.uniform(0.7, 1.2, 3), random_axes(rng))
    distance += 0.34 * min(1.0, growth) * cloud(part, (4.0,), rng, within=around(centre, 24))
    fraction = soften(distance, 2.4 * min(1.0, growth)) * anatomy.white[window]
    return Patch(window, "gliosis", fraction, float(rng.uniform(0.5, 1.1)))


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


hyperintensities = Pathology(
    name="white-matter hyperintensities", grow=grow_hyperintensities, smallest_ml=0.1, largest_ml=60
)
