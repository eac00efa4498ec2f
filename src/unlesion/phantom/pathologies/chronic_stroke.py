"""Chronic stroke: what is left is fluid with a rim of scar, and what is around has moved into the gap."""

from __future__ import annotations

import numpy as np

from unlesion.phantom.anatomy import Anatomy
from unlesion.phantom.pathologies.base import Lesion, Patch, Pathology, mass_effect
from unlesion.phantom.pathologies.territory import draw_wedge
from unlesion.synthesis import carry, cloud, soften


def grow_chronic_stroke(anatomy: Anatomy, rng: np.random.Generator, volume_ml: float | None) -> Lesion:
    """One old infarct: encephalomalacia, a gliotic rim, wider ventricle and sulci beside it."""
    wedge = draw_wedge(anatomy, rng, volume_ml)
    shrinking = float(rng.uniform(0.1, 0.22)) * wedge.radius
    effect, part = mass_effect(anatomy, wedge.middle, wedge.radius, -min(shrinking, 5.0))
    white, grey, fluid = (effect.apply(tissue) for tissue in (anatomy.white, anatomy.grey, anatomy.fluid))
    inside, tissue = white + grey + fluid, np.clip(1 - 1.15 * fluid, 0, 1)
    # The ventricle stays the ventricle; the sulci inside the wedge are one with the cavity.
    away = carry(anatomy.from_ventricles, anatomy.space, part)
    side = wedge.side(anatomy, part) * inside
    distance = wedge.distance(anatomy, part, rng)
    uneven = cloud(part, (10.0, 5.0), rng, within=anatomy.fine)

    size = wedge.depth * float(np.tan(wedge.half_angle))
    rim = float(np.clip(rng.uniform(0.15, 0.35) * size, 0.5, 5.0)) * (1 + 0.45 * np.clip(uneven, -1.5, 1.5))
    scar = soften(distance, 3.0 * wedge.small) * side * tissue
    # Some tissue in the middle is left as strands.
    hollow = soften(distance + rim, 2.5 * wedge.small) * side * np.clip(0.95 + 0.25 * uneven, 0.3, 1)
    hollow = hollow * np.clip(away - 1.0, 0, 1) * np.maximum(tissue, np.clip(1 - fluid, 0, 1))
    strength = float(rng.uniform(0.7, 1.2))
    patches = [
        Patch(effect.window, "gliosis", scar.astype(np.float32), strength),
        Patch(effect.window, "cavity", hollow.astype(np.float32)),
    ]
    return Lesion(patches, effect)


chronic_stroke = Pathology(name="chronic stroke", grow=grow_chronic_stroke, smallest_ml=0.1, largest_ml=60)
