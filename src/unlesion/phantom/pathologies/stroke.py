"""Ischaemic stroke: a wedge of an arterial territory, from depth to cortex, ragged at its border."""

from __future__ import annotations

import numpy as np

from unlesion.phantom.anatomy import Anatomy
from unlesion.phantom.pathologies.base import Lesion, Patch, Pathology, nearest, pick_centre
from unlesion.synthesis import carry, cloud, cone, soften


def grow_stroke(anatomy: Anatomy, rng: np.random.Generator, volume_ml: float | None) -> Lesion:
    """One subacute infarct of the middle, anterior or posterior cerebral artery, without swelling."""
    lateral = np.abs(anatomy.side)
    # Middle cerebral artery: the lateral surface; the others reach the midline and the occipital pole.
    weight = (anatomy.depth > 1) * (anatomy.depth < 5) * (anatomy.height > -6)
    weight = weight * np.where(lateral > 30, 1.0, 0.15) * (lateral > 6)
    surface = pick_centre(anatomy, weight.astype(np.float32), rng)
    own = float(np.sign(anatomy.side[nearest(anatomy, surface)]) or 1.0)
    # The wedge points at the stem of the artery, beside the third ventricle; it starts on the way there.
    stem = np.array([14.0 * own, surface[1] * 0.45 - 4.0, max(surface[2] * 0.5, 2.0)])
    direction = surface - stem
    reach = float(np.linalg.norm(direction))
    direction /= reach
    # Half angle and depth of the wedge decide the volume: about 2 to 90 ml.
    apex = surface - direction * reach * rng.uniform(0.45, 0.95)
    half_angle = float(np.deg2rad(rng.uniform(14, 32)))
    sharp = 1.0
    if volume_ml is not None:
        deep = (3000 * volume_ml / (np.pi * np.tan(half_angle) ** 2)) ** (1 / 3)
        if deep > 0.95 * reach:
            deep = 0.95 * reach
            half_angle = float(np.arctan(np.sqrt(3000 * volume_ml / (np.pi * deep**3))))
        apex = surface - direction * deep
        sharp = min(1.0, deep / 30)

    window, part = anatomy.fine.window((apex + surface) / 2, reach * 0.75 + 16)
    distance = cone(part, apex, direction, half_angle)
    distance += 2.2 * sharp * cloud(part, (16.0, 9.0, 5.0, 3.0), rng, falloff=0.75, within=anatomy.fine)
    side = carry(anatomy.side, anatomy.space, part) * own
    infarct = soften(distance, 3.5 * sharp) * soften(3.0 - side, 3.0)
    # Tissue only: fluid in the sulci stays fluid.
    fraction = infarct * np.clip(1 - 1.15 * anatomy.fluid[window], 0, 1)
    fraction = fraction * (anatomy.white + anatomy.grey + anatomy.fluid)[window]
    # Spared islands and a border zone that is only partly lost.
    fraction = fraction * np.clip(1.0 + 0.14 * cloud(part, (9.0, 5.0), rng, within=anatomy.fine), 0.4, 1)
    return Lesion([Patch(window, "infarct", fraction.astype(np.float32), float(rng.uniform(0.6, 1.2)))])


stroke = Pathology(name="stroke", grow=grow_stroke, smallest_ml=0.05, largest_ml=60)
