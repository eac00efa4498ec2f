"""One virtual person's healthy anatomy: the template under that person's own warp, with sharp tissue borders."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unlesion.phantom.folding import CORTEX_MM, GRID_MM, Folds, draw_folds
from unlesion.phantom.template import Template, load_template
from unlesion.synthesis import (
    Space,
    average_blocks,
    carry,
    exponential,
    random_velocity,
    resample_smooth,
    smooth_field,
    trilinear,
)

Array = NDArray[np.float32]

# Warps are integrated on this grid (mm): fine enough for the smallest control distance below.
WARP_MM = 4.0
# Voxels of the fine space per output voxel and axis: tissue borders get true partial volume.
OVERSAMPLING = 2
# Half the width of a sulcus in a middle-aged brain.
SULCUS_MM = 1.1


@dataclass(frozen=True, kw_only=True, eq=False)
class Anatomy:
    """Healthy anatomy of one virtual person.

    Attributes:
        space: output space; the fine space is `space.at(space.spacing / OVERSAMPLING)`.
        white, grey, fluid: tissue fractions on the fine space, adding up to 1 inside the brain.
        detail: texture of the template on the fine space, in units of white-grey contrast.
        deep: fraction of grey matter that belongs to the deep nuclei, fine space.
        brain: bool, brain mask on the output space.
        side: template x (mm) on the output space: below 0 left hemisphere, above 0 right.
        height: template z (mm) on the output space.
        depth: mm below the brain's surface, output space.
        from_ventricles: mm from the lateral ventricles (0 inside), output space.
        age: years; older brains have wider ventricles and sulci.
    """

    space: Space
    white: Array
    grey: Array
    fluid: Array
    detail: Array
    deep: Array
    brain: NDArray[np.bool_]
    side: Array
    height: Array
    depth: Array
    from_ventricles: Array
    age: int

    @property
    def fine(self) -> Space:
        """The space of the tissue fractions."""
        return self.space.at(self.space.spacing / OVERSAMPLING)


def output_space(spacing_mm: float, rng: np.random.Generator) -> Space:
    """The field of view of a virtual scan, with the small shifts of a head in a coil."""
    shift = rng.uniform(-2, 2, 3)
    corner = np.array([-80.0, -118.0, -76.0]) + shift
    return Space(extent=(160.0, 200.0, 160.0), spacing=spacing_mm, corner=tuple(corner.round(2)))


def draw_anatomy(space: Space, rng: np.random.Generator, *, age: int) -> Anatomy:
    """Draw a person's anatomy; depends on the generator and on the box of `space`, not on its spacing."""
    template = load_template()
    fine = space.at(space.spacing / OVERSAMPLING)
    years = (age - 45) / 40
    sulci = float(rng.normal(0.6 * years, 0.35))
    world = _warp(template, space, fine, rng, years)
    where = template.voxels(world)
    inside = _inside(template, where, fine)
    flat = where[:, inside]
    white, grey, fluid, cortex = (
        trilinear(part, flat) for part in (template.white, template.grey, template.fluid, template.cortex)
    )
    folds = _fold(template, world, fine, rng)
    distance, presence = folds.distance[inside], folds.presence[inside]
    # Tissue borders also move to and fro by noise of the size of a gyrus.
    wander_white, wander_fluid = smooth_field(fine, 5.0, rng)[inside], smooth_field(fine, 5.0, rng)[inside]

    # Away from the deep nuclei mixtures are blur: raising to a power sharpens them. The floor lets a sulcus cut
    # where the average has none.
    power = 1 + 1.2 * cortex
    strength = 0.15 + 0.85 * cortex
    gyrus = np.clip((distance - CORTEX_MM) * 1.5, -5.0, 2.5)
    sulcus = np.clip((SULCUS_MM + 0.6 * sulci - distance) * 2.5, -2.0, 5.0)
    core = presence * np.clip((folds.depth[inside] - 3.0) / 2.5, 0, 1)
    rim = np.clip(2.6 + 1.5 * sulci - folds.depth[inside], 0, 3)
    white = (white + 0.06 * core + 1e-3) ** power * np.exp(presence * gyrus + 0.4 * strength * wander_white)
    fluid = (fluid + 0.04 * presence + 1e-3) ** power
    fluid *= np.exp(presence * sulcus + strength * (1.0 + rim + 1.2 * sulci + 0.4 * wander_fluid))
    grey = (grey + 0.05 * presence + 1e-3) ** power
    total = white + grey + fluid

    def spread(values: Array) -> Array:
        out = np.zeros(fine.shape, np.float32)
        out[inside] = values
        return out

    brain = average_blocks(inside.astype(np.float32), OVERSAMPLING) >= 0.5
    coarse = np.ascontiguousarray(average_coordinates(world))
    ventricles = trilinear(template.ventricles, template.voxels(coarse)) > 0.5
    return Anatomy(
        space=space,
        white=spread(white / total),
        grey=spread(grey / total),
        fluid=spread(fluid / total),
        detail=spread(trilinear(template.detail, flat)),
        deep=spread(grey / total * (1 - cortex)),
        brain=brain,
        side=coarse[0],
        height=coarse[2],
        depth=_distance(brain, space.spacing),
        from_ventricles=_distance(~ventricles, space.spacing),
        age=age,
    )


def _fold(template: Template, world: Array, fine: Space, rng: np.random.Generator) -> Folds:
    """This person's sulci; the small folia of the cerebellum stay the template's."""
    grid = fine.at(GRID_MM)
    there = np.stack([carry(part, fine, grid) for part in world]) if grid.shape != fine.shape else world
    where = template.voxels(there)
    x, y, z = there
    # The tentorium, the roof of the cerebellum, rises towards the middle and the front.
    tentorium = -24 + 0.4 * np.clip(y + 90, 0, 50) * np.clip(1 - np.abs(x) / 45, 0, 1)
    cerebrum = np.clip((z - tentorium) / 6, 0, 1) + np.clip((y + 38) / 6, 0, 1)
    cortex = trilinear(template.outer, where) * np.clip(cerebrum, 0, 1)
    return draw_folds(trilinear(template.brain, where) > 0.25, cortex, grid, fine, rng)


def _inside(template: Template, where: Array, fine: Space) -> NDArray[np.bool_]:
    """Voxels of the fine space in the brain; only those near it on a coarse look are interpolated."""
    look = trilinear(template.brain, where[:, ::4, ::4, ::4]) > 0
    near = ndimage.binary_dilation(look, np.ones((3, 3, 3)))
    for axis, count in enumerate(fine.shape):
        near = np.repeat(near, 4, axis=axis).take(range(count), axis=axis)
    near[near] = trilinear(template.brain, where[:, near]) > 0.25
    return near


def average_coordinates(world: Array) -> Array:
    """Coordinates (3, ...) on the fine space, averaged onto the output space."""
    return np.stack([average_blocks(part, OVERSAMPLING) for part in world])


def _warp(template: Template, space: Space, fine: Space, rng: np.random.Generator, years: float) -> Array:
    """Template coordinates (3, ...) in mm of every voxel of the fine space."""
    coarse = space.at(WARP_MM)
    # Size, proportions and tilt of the head.
    scale = (1 / rng.normal(0.96, 0.02)) * np.exp(rng.normal(0, 0.018, 3))
    tilt = np.deg2rad(rng.normal(0, 2.0, 3))
    linear = _rotation(tilt) * scale[None, :]
    centre = np.array([0.0, -18.0, 4.0])

    velocity = random_velocity(coarse, 44.0, 1.8, rng) + random_velocity(coarse, 22.0, 1.0, rng)
    local = random_velocity(coarse, 11.0, 0.85, rng)
    at = np.stack(np.broadcast_arrays(*coarse.axes()))
    near = template.voxels(_apply(linear, at, centre))
    velocity += local * (0.25 + 0.75 * trilinear(template.cortex, near))
    widening = float(np.clip(rng.normal(1.2 + 3.0 * years, 1.6), -2.0, 7.0))
    velocity += np.float32(widening) * np.stack([trilinear(part, near) for part in template.opening])
    displacement = exponential(velocity.astype(np.float32), coarse.spacing)

    moved = np.stack([resample_smooth(part, coarse, fine) for part in displacement])
    for part, axis in zip(moved, fine.axes(), strict=True):
        part += axis
    return _apply(linear, moved, centre)


def _apply(linear: NDArray[np.float64], points: Array, centre: NDArray[np.float64]) -> Array:
    """Linear map around `centre`."""
    column = centre.astype(np.float32).reshape(3, 1, 1, 1)
    return np.tensordot(linear.astype(np.float32), points - column, axes=(1, 0)) + column


def _rotation(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_euler("xyz", angles).as_matrix())


def _distance(mask: NDArray[np.bool_], spacing: float) -> Array:
    return ndimage.distance_transform_edt(mask, sampling=spacing).astype(np.float32)
