"""What a pathology is: soft patches of abnormal tissue, and sometimes a push on the tissue around."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from unlesion.phantom.anatomy import Anatomy
from unlesion.synthesis import Space, carry, exponential, push, trilinear

Array = NDArray[np.float32]
Slices = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Patch:
    """Abnormal tissue in a window of the fine space.

    Attributes:
        window: where in the fine space.
        kind: name of the abnormal tissue, see `unlesion.phantom.signals`.
        fraction: (window) 0..1, partial volume of that tissue.
        strength: multiplies the difference between this tissue and white matter; 1 is typical.
    """

    window: Slices
    kind: str
    fraction: Array
    strength: float = 1.0


@dataclass(frozen=True, eq=False)
class MassEffect:
    """Where the tissue in a window of the fine space came from: (3, window) mm, zero outside its reach."""

    window: Slices
    displacement: Array
    spacing: float

    def apply(self, values: Array, *, order: int = 1) -> Array:
        """The window of `values` (fine space) after the push."""
        out = np.array(values[self.window], dtype=np.float32)
        moved = (np.abs(self.displacement) > 1e-3).any(axis=0)
        where = np.stack(np.nonzero(moved)).astype(np.float32) + self.displacement[:, moved] / np.float32(
            self.spacing
        )
        out[moved] = trilinear(out, where, order=order)
        return out


@dataclass(frozen=True, eq=False)
class Lesion:
    """All that is abnormal in one virtual person."""

    patches: list[Patch] = field(default_factory=list)
    mass_effect: MassEffect | None = None


Pathology = Callable[[Anatomy, np.random.Generator], Lesion]


def pick_centre(anatomy: Anatomy, weight: Array, rng: np.random.Generator) -> NDArray[np.float64]:
    """World mm of a voxel of the output space, drawn in proportion to `weight` >= 0, at a random place inside it."""
    flat = np.cumsum(weight.ravel(), dtype=np.float64)
    if flat[-1] <= 0:
        flat = np.cumsum(anatomy.brain.ravel(), dtype=np.float64)
    chosen = int(np.searchsorted(flat, rng.random() * flat[-1], side="right"))
    index = np.array(np.unravel_index(min(chosen, flat.size - 1), weight.shape))
    place = index + rng.uniform(-0.5, 0.5, 3)
    return np.asarray(anatomy.space.affine[:3, :3] @ place + anatomy.space.affine[:3, 3])


def nearest(anatomy: Anatomy, point: NDArray[np.float64]) -> tuple[int, int, int]:
    """Index of the output voxel that holds a world point."""
    index = np.rint((point - anatomy.space.affine[:3, 3]) / anatomy.space.spacing).astype(int)
    x, y, z = np.clip(index, 0, np.array(anatomy.space.shape) - 1)
    return int(x), int(y), int(z)


def mass_effect(
    anatomy: Anatomy, centre: NDArray[np.float64], radius_mm: float, amplitude_mm: float
) -> tuple[MassEffect, Space]:
    """Push tissue away from `centre`; the skull and the falx hold against it. Also the window as a space."""
    coarse = anatomy.space.at(4.0)
    velocity = push(coarse, centre, radius_mm, amplitude_mm)
    # Nothing moves at the surface: the brain stays in its skull, and the roi is the twin's.
    hold = np.clip((carry(anatomy.depth, anatomy.space, coarse) - 2.0) / 14.0, 0, 1)
    displacement = exponential(velocity * (hold * hold * (3 - 2 * hold)), coarse.spacing)
    window, part = anatomy.fine.window(centre, 3 * radius_mm)
    local = np.stack([carry(axis, coarse, part) for axis in displacement])
    return MassEffect(window, local, part.spacing), part
