"""Microbleeds: small dark balls of old blood, at the border of cortex and white matter or in the deep nuclei."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unlesion.phantom.anatomy import Anatomy
from unlesion.phantom.pathologies.base import (
    Lesion,
    Patch,
    Pathology,
    around,
    ball_radius,
    gradual_sizes,
    pick_centre,
)
from unlesion.synthesis import average_blocks, cloud, ellipsoid, random_axes, soften

Array = NDArray[np.float32]

# Half of 2 and 10 mm: smaller is not seen, larger is called a bleeding.
_SMALLEST_MM, _LARGEST_MM = 1.0, 5.0


def grow_microbleeds(anatomy: Anatomy, rng: np.random.Generator, volume_ml: float | None) -> Lesion:
    """1 to 20 bleeds of 2 to 10 mm, mostly lobar or mostly deep."""
    factor = anatomy.white.shape[0] // anatomy.space.shape[0]
    white, grey, fluid, deep = (
        average_blocks(part, factor) for part in (anatomy.white, anatomy.grey, anatomy.fluid, anatomy.deep)
    )
    lobar = 4 * white * grey * (anatomy.depth > 3) * (anatomy.depth < 22)
    inner = deep + 0.3 * white * (anatomy.depth > 25)
    share = float(rng.choice([0.15, 0.85]))
    place = (fluid < 0.2) * (
        share * lobar / max(lobar.sum(), 1e-6) + (1 - share) * inner / max(inner.sum(), 1e-6)
    )
    count = float(np.exp(rng.uniform(0, np.log(20))))
    size = 1.8
    if volume_ml is not None:
        # Few for little, so that none is too small to be seen, more for much.
        count = float(np.clip(12 * volume_ml**0.7, 1, 20))
        size = float(np.clip(ball_radius(0.85 * volume_ml / count), _SMALLEST_MM, 0.9 * _LARGEST_MM))
    else:
        count = float(round(count))
    return Lesion([_bleed(anatomy, place, size * part, rng) for part in gradual_sizes(count)])


def _bleed(anatomy: Anatomy, place: Array, size: float, rng: np.random.Generator) -> Patch:
    centre = pick_centre(anatomy, place.astype(np.float32), rng)
    radius = float(np.clip(size * np.exp(rng.normal(0, 0.25)), 0.7 * _SMALLEST_MM, _LARGEST_MM))
    window, part = anatomy.fine.window(centre, _LARGEST_MM + 3)
    distance = ellipsoid(part, centre, radius * rng.uniform(0.9, 1.1, 3), random_axes(rng))
    distance += np.float32(0.1 * radius) * cloud(part, (4.0,), rng, within=around(centre, 12))
    fraction = soften(distance, min(1.4, radius)) * (anatomy.white + anatomy.grey + anatomy.fluid)[window]
    return Patch(window, "blood", fraction.astype(np.float32), float(rng.uniform(0.8, 1.2)))


microbleeds = Pathology(name="microbleeds", grow=grow_microbleeds, smallest_ml=0.05, largest_ml=3)
