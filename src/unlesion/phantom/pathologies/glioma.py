"""Glioma: a lobed, mottled core, often necrotic, oedema that follows white matter, and mass effect."""

from __future__ import annotations

import numpy as np

from unlesion.phantom.anatomy import Anatomy
from unlesion.phantom.pathologies.base import (
    Lesion,
    Patch,
    Pathology,
    around,
    ball_radius,
    mass_effect,
    pick_centre,
)
from unlesion.synthesis import carry, cloud, ellipsoid, random_axes, soften


def grow_glioma(anatomy: Anatomy, rng: np.random.Generator, volume_ml: float | None) -> Lesion:
    """One supratentorial tumour; typically the core has a radius of 6 to 21 mm."""
    weight = anatomy.brain * np.clip((anatomy.depth - 10) / 10, 0, 1) * (anatomy.from_ventricles > 6)
    weight = weight * (anatomy.height > -8) * (np.abs(anatomy.side) > 14)
    centre = pick_centre(anatomy, weight.astype(np.float32), rng)
    radius = float(np.clip(np.exp(rng.normal(np.log(12), 0.3)), 6, 21))
    if volume_ml is not None:
        # About half of what is abnormal is oedema.
        radius = 0.8 * ball_radius(volume_ml)
    share = min(1.0, radius / 9)
    push_mm = float(radius * rng.uniform(0.12, 0.36))
    effect, part = mass_effect(anatomy, centre, max(1.4 * radius, 7.0), push_mm)

    white, fluid = effect.apply(anatomy.white), effect.apply(anatomy.fluid)
    side = effect.apply(carry(anatomy.side, anatomy.space, anatomy.fine))
    # The falx: tumour and oedema stay on their side, except near the corpus callosum, where it does not matter here.
    own = np.sign(side[tuple(size // 2 for size in side.shape)])
    barrier = soften(2.0 - side * own, 3.0)

    # The lobes grow with the tumour.
    lobes = cloud(part, (radius * 0.9, radius * 0.45, radius * 0.3), rng, within=around(centre, 4.5 * radius))
    radii = radius * np.exp(rng.normal(0, 0.22, 3))
    distance = ellipsoid(part, centre, radii, random_axes(rng))
    core_distance = distance + np.float32(0.15 * radius) * lobes
    core = soften(core_distance, 2.5 * share) * barrier * (1 - 0.7 * fluid)

    reach = float(rng.uniform(4, 16)) * share
    fingers = share * cloud(part, (14.0, 7.0), rng, within=anatomy.fine)
    # Oedema runs far in white matter and stops at cortex and fluid.
    oedema_distance = distance - reach * (1.3 * white - 0.35) + np.float32(0.12 * reach + 0.6) * fingers
    oedema = soften(oedema_distance, 4.0 * share) * barrier * np.clip(white * 1.4 + 0.12, 0, 1) * (1 - fluid)
    patches = [Patch(effect.window, "oedema", oedema, float(rng.uniform(0.8, 1.15)))]
    patches.append(Patch(effect.window, "tumour", core, float(rng.uniform(0.7, 1.2))))
    if radius > 9 and rng.random() < 0.7:
        holes = (
            core_distance
            + np.float32(radius * rng.uniform(0.4, 0.65))
            + 1.1 * cloud(part, (6.0,), rng, within=anatomy.fine)
        )
        patches.append(
            Patch(effect.window, "necrosis", soften(holes, 2.5) * barrier, float(rng.uniform(0.7, 1.1)))
        )
    return Lesion(patches, effect)


glioma = Pathology(name="glioma", grow=grow_glioma, smallest_ml=0.5, largest_ml=60)
