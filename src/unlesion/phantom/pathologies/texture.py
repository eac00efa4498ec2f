"""An iso-intense lesion: the mean signal of its surroundings, another texture; no threshold can find it."""

from __future__ import annotations

import numpy as np

from unlesion.phantom.anatomy import Anatomy
from unlesion.phantom.pathologies.base import (
    TEXTURE,
    Lesion,
    Patch,
    Pathology,
    around,
    ball_radius,
    nearest,
    pick_centre,
)
from unlesion.synthesis import carry, cloud, ellipsoid, random_axes, soften


def grow_texture(anatomy: Anatomy, rng: np.random.Generator, volume_ml: float | None) -> Lesion:
    """One region, typically of 2 to 20 ml: rougher anywhere, or smoother near the cortex, whose folds it blurs."""
    typical = float(np.clip(np.exp(rng.normal(np.log(7), 0.6)), 2, 30))
    radius = ball_radius(typical if volume_ml is None else volume_ml)
    rougher, amount = bool(rng.random() < 0.6), float(rng.uniform(0.7, 1.0))
    least, most = (7, 40) if rougher else (5, 14)
    weight = (anatomy.depth > least) * (anatomy.depth < most) * (anatomy.height > -16)
    weight = weight * (anatomy.from_ventricles > 5) * (np.abs(anatomy.side) > 6)
    centre = pick_centre(anatomy, weight.astype(np.float32), rng)
    window, part = anatomy.fine.window(centre, 1.9 * radius + 4)
    distance = ellipsoid(part, centre, radius * np.exp(rng.normal(0, 0.18, 3)), random_axes(rng))
    distance += np.float32(0.13 * radius) * cloud(
        part, (0.9 * radius, 0.45 * radius), rng, within=around(centre, 4.5 * radius)
    )
    # On one side of the falx.
    own = float(np.sign(anatomy.side[nearest(anatomy, centre)]) or 1.0)
    side = soften(2.0 - carry(anatomy.side, anatomy.space, part) * own, 3.0)
    tissue = (anatomy.white + anatomy.grey)[window]
    fraction = soften(distance, min(3.0, 0.6 * radius)) * side
    # Roughness is of tissue; smoothness blurs tissue and the fluid in its sulci alike.
    fraction = fraction * (tissue if rougher else tissue + anatomy.fluid[window])
    return Lesion([Patch(window, TEXTURE, fraction.astype(np.float32), amount if rougher else -amount)])


texture = Pathology(name="iso-intense texture", grow=grow_texture, smallest_ml=0.1, largest_ml=60)
