"""Gyri and sulci of one's own, laid over the average anatomy.

Averaging 152 brains washes out all but the main sulci. Here the zero set of a random field on the brain's surface,
a labyrinth like sulci seen from above, is carried down along the surface normal: sheets that cut into the brain
as sulci do. Distance to the nearest sheet then moves the tissue borders of the template.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unlesion.synthesis import Space, carry, smooth_field, trilinear

Array = NDArray[np.float32]

# Sulci are laid on this grid (mm), whatever the voxels of the scan.
GRID_MM = 2.0
# Distance of control points of the labyrinth: neighbouring sulci are about twice as far apart.
LABYRINTH_MM = 6.5
# Half the width of a gyrus' grey coat around a sulcus (mm).
CORTEX_MM = 3.1


@dataclass(frozen=True, eq=False)
class Folds:
    """Sulci on the fine space.

    Attributes:
        distance: mm to the nearest sheet, clipped to 8.
        presence: 0..1, how much a sulcus is there: fades at its depth and away from the cortex.
        depth: mm below the surface of the brain.
    """

    distance: Array
    presence: Array
    depth: Array


def draw_folds(
    brain: NDArray[np.bool_], cortex: Array, grid: Space, fine: Space, rng: np.random.Generator
) -> Folds:
    """Draw a person's sulci.

    Args:
        brain: mask on `grid` (2 mm).
        cortex: 0..1 on `grid`: where folds may be.
        grid: the space to draw on.
        fine: the space of the answer.
        rng: source of randomness.
    """
    depth = ndimage.distance_transform_edt(brain, sampling=grid.spacing).astype(np.float32)
    smooth = ndimage.gaussian_filter(depth, 4.0 / grid.spacing)
    normal = np.stack(np.gradient(smooth, grid.spacing))
    normal /= np.maximum(np.sqrt((normal**2).sum(axis=0)), 0.3)
    labyrinth = smooth_field(grid, LABYRINTH_MM, rng)
    # Sulci lean: a slow shift of the foot point with depth.
    lean = np.stack([smooth_field(grid, 30.0, rng) for _ in range(3)]) * np.float32(0.14)
    foot = np.indices(grid.shape, dtype=np.float32) - (normal - lean) * depth / np.float32(grid.spacing)
    sheet = trilinear(np.pad(labyrinth, 1, mode="edge"), foot + 1)
    slope = np.sqrt(sum(part**2 for part in np.gradient(sheet, grid.spacing)))
    signed = np.clip(sheet / np.maximum(slope, 0.11), -8, 8).astype(np.float32)

    # Most sulci end 8 to 20 mm deep, some hardly begin.
    floor = 15 + 2.8 * smooth_field(grid, 18.0, rng)
    presence = np.clip((floor - depth) / 3 + 0.5, 0, 1) * cortex
    return Folds(
        distance=np.abs(carry(signed, grid, fine)),
        presence=carry(presence.astype(np.float32), grid, fine),
        depth=carry(depth, grid, fine),
    )
