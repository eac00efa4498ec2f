"""Ventricular enlargement: fluid in the place of tissue by displacement alone."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from unlesion.phantom.anatomy import Anatomy
from unlesion.phantom.pathologies.base import (
    DISPLACED,
    Lesion,
    MassEffect,
    Patch,
    Pathology,
    flow,
    pick_centre,
)
from unlesion.synthesis import carry

# Within so many mm of the lateral ventricles fluid counts as theirs.
_NEAR_MM = 3.0


def grow_ventricles(anatomy: Anatomy, rng: np.random.Generator, volume_ml: float | None) -> Lesion:
    """Both lateral ventricles wider (hydrocephalus), or one of them or one horn (ex vacuo) where volume is little."""
    typical = float(np.clip(np.exp(rng.normal(np.log(22), 0.5)), 8, 60))
    volume = typical if volume_ml is None else volume_ml
    inside = anatomy.from_ventricles <= 0
    touching = (anatomy.from_ventricles > 0) & (anatomy.from_ventricles < 4) & anatomy.brain
    horn = pick_centre(anatomy, touching.astype(np.float32), rng)
    one_sided = float(np.exp(rng.normal(0, 0.5)))
    if not inside.any():
        return Lesion()

    coarse = anatomy.space.at(4.0)
    ventricles = carry(inside.astype(np.float32), anatomy.space, coarse)
    gradient = np.stack(np.gradient(ndimage.gaussian_filter(ventricles, 6.0 / coarse.spacing)))
    velocity = gradient / max(float(np.sqrt((gradient**2).sum(axis=0)).max()), 1e-6)
    # Little volume: only around one horn, so that the wall there moves far enough to be seen.
    reach = 7.0 + 6.0 * float(np.sqrt(volume))
    squared = sum((axis - np.float32(at)) ** 2 for axis, at in zip(coarse.axes(), horn, strict=True))
    velocity = velocity * np.exp(-squared / np.float32(2 * reach**2))
    side = carry(anatomy.side, anatomy.space, coarse)
    velocity = velocity * np.where(side > 0, one_sided, 1 / one_sided) ** 0.5
    velocity *= np.float32(1.6 + 0.22 * volume)

    moving = np.sqrt((velocity**2).sum(axis=0)) > 0.02
    if not moving.any():
        return Lesion()
    low, high = (
        np.array([np.flatnonzero(moving.any(axis=tuple({0, 1, 2} - {axis})))[end] for axis in range(3)])
        for end in (0, -1)
    )
    middle = np.array(coarse.corner) + (low + high + 1) / 2 * coarse.spacing
    window, part = anatomy.fine.window(middle, float((high - low).max()) / 2 * coarse.spacing + 12)
    effect = MassEffect(window, flow(anatomy, velocity.astype(np.float32), coarse, part), part.spacing)

    near = carry(anatomy.from_ventricles, anatomy.space, anatomy.fine) < _NEAR_MM
    gained = effect.apply(anatomy.fluid * near) - anatomy.fluid[window]
    return Lesion([Patch(window, DISPLACED, np.clip(gained, 0, 1))], effect)


ventricles = Pathology(name="ventricular enlargement", grow=grow_ventricles, smallest_ml=1, largest_ml=60)
