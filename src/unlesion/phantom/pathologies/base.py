"""What a pathology is: soft patches of abnormal tissue, and sometimes a displacement of the tissue around.

How a lesion gets into an image, in this order:

1. `Lesion.mass_effect`, if there, moves the healthy signal (`MassEffect.apply`). It may push (a tumour), pull (a
   scar) or widen the ventricles; the map is one to one.
2. Each `Patch` is painted over the result by its `fraction`, in the order of the list. Three sorts of kinds:

   - tissue, the keys of `unlesion.phantom.signals.SIGNALS`: the signal of that tissue, relative to white matter;
   - `TEXTURE`: the mean signal stays, the fine texture changes: `strength` > 0 adds texture, below 0 takes it away
     (-1: all of it). `unlesion.synthesis.retexture` does both;
   - `DISPLACED`: **paints nothing.** It says where the displacement alone has put fluid in the place of tissue
     (fraction = fluid after the displacement minus fluid before it, where positive).

3. The mask comes from the fractions of *all* patches, `DISPLACED` among them (`Lesion.fraction`), never from the
   displacement: neighbours that were merely moved are no lesion.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from unlesion.errors import BadInput
from unlesion.phantom.anatomy import Anatomy
from unlesion.synthesis import Space, carry, exponential, push, trilinear

Array = NDArray[np.float32]
Slices = tuple[slice, slice, slice]

# Kinds of patches that are no tissue of their own, see above.
TEXTURE = "texture"
DISPLACED = "displaced"

# A volume asked for is met this well (relative) before growing stops trying, and how often it tries.
_CLOSE, _TRIES = 0.06, 10


@dataclass(frozen=True, eq=False)
class Patch:
    """Abnormal tissue in a window of the fine space.

    Attributes:
        window: where in the fine space.
        kind: name of the abnormal tissue (see `unlesion.phantom.signals`), `TEXTURE` or `DISPLACED`.
        fraction: (window) 0..1, partial volume of that tissue.
        strength: multiplies the difference between this tissue and white matter; 1 is typical. For `TEXTURE`
            above 0 rougher, -1..0 smoother.
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
        """The window of `values` (fine space) after the displacement."""
        out = np.array(values[self.window], dtype=np.float32)
        moved = (np.abs(self.displacement) > 1e-3).any(axis=0)
        where = np.stack(np.nonzero(moved)).astype(np.float32) + self.displacement[:, moved] / np.float32(
            self.spacing
        )
        # What would come from beyond the window comes from its edge.
        last = np.array(out.shape, dtype=np.float32)[:, None] - 1
        out[moved] = trilinear(out, np.clip(where, 0, last), order=order)
        return out


@dataclass(frozen=True, eq=False)
class Lesion:
    """All that is abnormal in one virtual person."""

    patches: list[Patch] = field(default_factory=list)
    mass_effect: MassEffect | None = None

    def fraction(self, fine: Space) -> Array:
        """Fraction 0..1 of abnormal tissue of any kind on the fine space; the mask is where it is above 0.5."""
        normal = np.ones(fine.shape, np.float32)
        for patch in self.patches:
            normal[patch.window] *= 1 - patch.fraction
        return 1 - normal

    def volume_ml(self, anatomy: Anatomy) -> float:
        """Volume of the part of the brain that is mostly abnormal, on the fine space."""
        if not self.patches:
            return 0.0
        box = _around([patch.window for patch in self.patches])
        normal = np.ones(tuple(part.stop - part.start for part in box), np.float32)
        for patch in self.patches:
            inner = tuple(
                slice(own.start - part.start, own.stop - part.start)
                for own, part in zip(patch.window, box, strict=True)
            )
            normal[inner] *= 1 - patch.fraction
        inside = (anatomy.white + anatomy.grey + anatomy.fluid)[box] > 0.5
        count = np.count_nonzero((normal < 0.5) & inside)
        return float(count * anatomy.fine.spacing**3 / 1000)


def _around(windows: list[Slices]) -> Slices:
    """The smallest window that holds all."""
    x, y, z = (
        slice(min(window[axis].start for window in windows), max(window[axis].stop for window in windows))
        for axis in range(3)
    )
    return x, y, z


# Grows a lesion of about so many ml (None: as large as typical); the same generator gives the same lesion, larger
# or smaller, at the same place.
Grow = Callable[[Anatomy, np.random.Generator, float | None], Lesion]


@dataclass(frozen=True)
class Pathology:
    """A disease that draws lesions: call it.

    Attributes:
        name: as manifests give it.
        grow: see `Grow`; hits the volume only roughly, calling the pathology hits it well.
        smallest_ml: the smallest total volume of lesions that it can be asked for.
        largest_ml: the largest.
    """

    name: str
    grow: Grow
    smallest_ml: float
    largest_ml: float

    def __call__(
        self, anatomy: Anatomy, rng: np.random.Generator, *, volume_ml: float | None = None
    ) -> Lesion:
        """Draw a lesion.

        Args:
            anatomy: the healthy person.
            rng: source of randomness.
            volume_ml: total volume wanted of where the fraction is above 0.5 in the brain, mostly met within a
                tenth; drawn as is typical if None.

        Raises:
            BadInput: `volume_ml` is not within `smallest_ml` to `largest_ml`.
        """
        if volume_ml is None:
            return self.grow(anatomy, rng, None)
        if not self.smallest_ml <= volume_ml <= self.largest_ml:
            raise BadInput(
                f"{self.name} of {volume_ml:g} ml: the phantom makes {self.smallest_ml:g} to {self.largest_ml:g} ml"
            )
        return self._fit(anatomy, rng, volume_ml)

    def _fit(self, anatomy: Anatomy, rng: np.random.Generator, volume_ml: float) -> Lesion:
        """Ask for more or less until the volume is right: false position in logarithms, kept off the ends."""
        best, least = Lesion(), np.inf
        ask, under, over = np.log(volume_ml), None, None
        for _ in range(_TRIES):
            lesion = self.grow(anatomy, deepcopy(rng), float(np.exp(ask)))
            # Nothing at all counts as a hundredth of what was asked for.
            miss = float(np.log(max(lesion.volume_ml(anatomy) / volume_ml, 0.01)))
            if abs(miss) < least:
                best, least = lesion, abs(miss)
            if least < _CLOSE:
                break
            under, over = ((ask, miss), over) if miss < 0 else (under, (ask, miss))
            if under is None or over is None:
                ask -= float(np.clip(miss, -1.4, 1.4))
            else:
                share = float(np.clip(under[1] / (under[1] - over[1]), 0.2, 0.8))
                ask = under[0] + share * (over[0] - under[0])
        return best


def ball_radius(volume_ml: float) -> float:
    """Radius in mm of a ball of this volume."""
    return float((3000 * volume_ml / (4 * np.pi)) ** (1 / 3))


def gradual_sizes(count: float) -> list[float]:
    """Sizes of `count` lesions, 1 each; the last one's share of a lesion lets the count grow without jumps."""
    return [min(1.0, count - before) ** (1 / 3) for before in range(int(np.ceil(count)))]


def around(centre: NDArray[np.float64], half_mm: float) -> Space:
    """The cube of this half side around a point: the box of a texture that grows with its lesion."""
    corner = (float(centre[0]) - half_mm, float(centre[1]) - half_mm, float(centre[2]) - half_mm)
    return Space(extent=(2 * half_mm,) * 3, spacing=1.0, corner=corner)


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
    """Push tissue away from `centre` (below 0: pull); the skull and the falx hold against it.

    Also the window as a space.
    """
    coarse = anatomy.space.at(4.0)
    velocity = push(coarse, centre, radius_mm, amplitude_mm)
    window, part = anatomy.fine.window(centre, 3 * radius_mm)
    return MassEffect(window, flow(anatomy, velocity, coarse, part), part.spacing), part


def flow(anatomy: Anatomy, velocity: Array, coarse: Space, part: Space) -> Array:
    """Displacement (3, part) in mm after flowing along `velocity` (on `coarse`), held fast at the brain's surface."""
    # Nothing moves at the surface: the brain stays in its skull, and the roi is the twin's.
    hold = np.clip((carry(anatomy.depth, anatomy.space, coarse) - 2.0) / 14.0, 0, 1)
    displacement = exponential(velocity * (hold * hold * (3 - 2 * hold)), coarse.spacing)
    return np.stack([carry(axis, coarse, part) for axis in displacement])
