"""Acute to subacute ischaemic stroke: a wedge of an arterial territory, ragged at its border, a little swollen."""

from __future__ import annotations

import numpy as np

from unlesion.phantom.anatomy import Anatomy
from unlesion.phantom.pathologies.base import Lesion, Patch, Pathology, mass_effect
from unlesion.phantom.pathologies.territory import draw_wedge
from unlesion.synthesis import cloud, soften


def grow_acute_stroke(anatomy: Anatomy, rng: np.random.Generator, volume_ml: float | None) -> Lesion:
    """One infarct of the middle, anterior or posterior cerebral artery; it closes the sulci in it."""
    wedge = draw_wedge(anatomy, rng, volume_ml)
    swelling = float(rng.uniform(0.03, 0.12)) * wedge.radius
    effect, part = mass_effect(anatomy, wedge.middle, wedge.radius, min(swelling, 3.0))
    white, grey, fluid = (effect.apply(tissue) for tissue in (anatomy.white, anatomy.grey, anatomy.fluid))
    infarct = soften(wedge.distance(anatomy, part, rng), 3.5 * wedge.small) * wedge.side(anatomy, part)
    # Tissue only: fluid in the sulci stays fluid.
    fraction = infarct * np.clip(1 - 1.15 * fluid, 0, 1) * (white + grey + fluid)
    # Spared islands and a border zone that is only partly lost.
    islands = cloud(part, (9.0, 5.0), rng, within=anatomy.fine)
    fraction = fraction * np.clip(1.0 + 0.14 * islands, 0.4, 1)
    strength = float(rng.uniform(0.6, 1.2))
    return Lesion([Patch(effect.window, "infarct", fraction.astype(np.float32), strength)], effect)


acute_stroke = Pathology(name="acute stroke", grow=grow_acute_stroke, smallest_ml=0.05, largest_ml=60)
