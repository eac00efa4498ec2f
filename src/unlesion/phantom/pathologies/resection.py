"""Resection cavity: a hole from the surface inwards, full of fluid, with a rim of scar and sometimes of old blood."""

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
    nearest,
    pick_centre,
)
from unlesion.synthesis import carry, cloud, ellipsoid, random_axes, soften


def grow_resection(anatomy: Anatomy, rng: np.random.Generator, volume_ml: float | None) -> Lesion:
    """One cavity, typically of 5 to 40 ml, open to the surface."""
    typical = float(np.clip(np.exp(rng.normal(np.log(14), 0.6)), 4, 50))
    volume = typical if volume_ml is None else volume_ml
    weight = (anatomy.depth > 1) * (anatomy.depth < 4) * (anatomy.height > -16) * (np.abs(anatomy.side) > 22)
    surface = pick_centre(anatomy, weight.astype(np.float32), rng)
    own = float(np.sign(anatomy.side[nearest(anatomy, surface)]) or 1.0)
    # Inwards: towards the middle of the hemisphere.
    inner = np.array([18.0 * own, np.clip(surface[1], -60, 25) * 0.7 - 6, max(surface[2] * 0.5, 6.0)])
    inwards = (inner - surface) / max(float(np.linalg.norm(inner - surface)), 1e-6)
    radius = 1.08 * ball_radius(volume)
    centre = surface + inwards * 0.45 * radius
    falling_in = float(rng.uniform(0.0, 0.12)) * radius
    effect, part = mass_effect(anatomy, centre, max(1.3 * radius, 6.0), -falling_in)
    fluid = effect.apply(anatomy.fluid)
    inside = effect.apply(anatomy.white) + effect.apply(anatomy.grey) + fluid

    long = np.array([rng.uniform(0.95, 1.35), *rng.uniform(0.8, 1.1, 2)])
    wall = ellipsoid(part, centre, radius * long / np.prod(long) ** (1 / 3), random_axes(rng, inwards))
    wall += np.float32(0.11 * radius) * cloud(
        part, (0.9 * radius, 0.45 * radius), rng, within=around(centre, 4.5 * radius)
    )
    small = min(1.0, radius / 8)
    side = soften(2.0 - carry(anatomy.side, anatomy.space, part) * own, 3.0)
    # It opens where the brain ends, and stops short of the ventricle.
    away = carry(anatomy.from_ventricles, anatomy.space, part)
    room = inside * side * np.clip((away - 1.5) / 2, 0, 1)
    uneven = cloud(part, (9.0, 5.0), rng, within=anatomy.fine)
    rim = float(rng.uniform(2.0, 5.0)) * small * np.clip(1 + 0.6 * uneven, 0.15, 2.2)
    tissue = np.clip(1 - 1.15 * fluid, 0, 1)
    hollow = soften(wall + 0.4 * rim, 1.6 * small) * room
    scar = soften(wall - 0.6 * rim, 2.0 * small) * room * tissue
    strength = float(rng.uniform(0.8, 1.2))
    patches = [Patch(effect.window, "gliosis", scar.astype(np.float32), strength)]
    bled, amount = rng.random() < 0.5, float(rng.uniform(0.5, 0.9))
    if bled:
        thin = soften(np.abs(wall + 0.4 * rim) - 1.0 * small, 1.5 * small) * np.clip(0.4 + 0.8 * uneven, 0, 1)
        patches.append(Patch(effect.window, "blood", (amount * thin * room * tissue).astype(np.float32)))
    patches.append(Patch(effect.window, "cavity", hollow.astype(np.float32)))
    return Lesion(patches, effect)


resection = Pathology(name="resection cavity", grow=grow_resection, smallest_ml=0.5, largest_ml=60)
