"""The piece of an arterial territory that a stroke takes: a wedge from the surface of the brain inwards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unlesion.phantom.anatomy import Anatomy
from unlesion.phantom.pathologies.base import nearest, pick_centre
from unlesion.synthesis import Space, carry, cloud, cone, soften

Array = NDArray[np.float32]
Point = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Wedge:
    """A cone that opens towards the brain's surface.

    Attributes:
        apex: world mm.
        surface: where its axis meets the surface, world mm.
        half_angle: radians.
        own: 1 on the right, -1 on the left.
    """

    apex: Point
    surface: Point
    half_angle: float
    own: float

    @property
    def depth(self) -> float:
        """From apex to surface, mm."""
        return float(np.linalg.norm(self.surface - self.apex))

    @property
    def middle(self) -> Point:
        """Where most of the wedge is."""
        return self.apex + 0.65 * (self.surface - self.apex)

    @property
    def radius(self) -> float:
        """Of a ball that holds about all of the wedge, mm."""
        return float(max(0.5 * self.depth, self.depth * np.tan(self.half_angle)) + 2)

    @property
    def small(self) -> float:
        """Below 1 for a wedge smaller than its usual raggedness; scales that down."""
        return min(1.0, self.depth * float(np.tan(self.half_angle)) / 12)

    def distance(self, anatomy: Anatomy, part: Space, rng: np.random.Generator) -> Array:
        """Signed distance (mm) to its ragged border, on its own side of the midline."""
        direction = (self.surface - self.apex) / self.depth
        ragged = cloud(part, (16.0, 9.0, 5.0, 3.0), rng, falloff=0.75, within=anatomy.fine)
        smooth = cone(part, self.apex, direction, self.half_angle)
        return smooth + np.float32(2.2 * self.small) * ragged

    def side(self, anatomy: Anatomy, part: Space) -> Array:
        """1 on the wedge's side of the midline, 0 beyond."""
        return soften(3.0 - carry(anatomy.side, anatomy.space, part) * self.own, 3.0)


def draw_wedge(anatomy: Anatomy, rng: np.random.Generator, volume_ml: float | None) -> Wedge:
    """A piece of the middle, anterior or posterior cerebral artery's territory; about 2 to 90 ml if not told."""
    lateral = np.abs(anatomy.side)
    # Middle cerebral artery: the lateral surface; the others reach the midline and the occipital pole.
    weight = (anatomy.depth > 1) * (anatomy.depth < 5) * (anatomy.height > -6)
    weight = weight * np.where(lateral > 30, 1.0, 0.15) * (lateral > 6)
    surface = pick_centre(anatomy, weight.astype(np.float32), rng)
    own = float(np.sign(anatomy.side[nearest(anatomy, surface)]) or 1.0)
    # The wedge points at the stem of the artery, beside the third ventricle; it starts on the way there.
    stem = np.array([14.0 * own, surface[1] * 0.45 - 4.0, max(surface[2] * 0.5, 2.0)])
    reach = float(np.linalg.norm(surface - stem))
    direction = (surface - stem) / reach
    depth = reach * float(rng.uniform(0.45, 0.95))
    half_angle = float(np.deg2rad(rng.uniform(14, 32)))
    if volume_ml is not None:
        depth = (3000 * volume_ml / (np.pi * np.tan(half_angle) ** 2)) ** (1 / 3)
        if depth > 0.95 * reach:
            depth = 0.95 * reach
            half_angle = float(np.arctan(np.sqrt(3000 * volume_ml / (np.pi * depth**3))))
    return Wedge(surface - direction * depth, surface, half_angle, own)
