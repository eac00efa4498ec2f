"""Blending a lesion into a real image: its tissue moves, changes its level, and keeps the scanner's noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unlesion.phantom.implant.anatomy import RealAnatomy
from unlesion.phantom.implant.levels import FLUID_LIKE, level_of
from unlesion.phantom.pathologies import DISPLACED, TEXTURE, Lesion
from unlesion.phantom.signals import _GRAIN_MM, _MOTTLING, _ROUGHNESS, _SHINE, window_space
from unlesion.synthesis import cloud, retexture

Array = NDArray[np.float32]
Slices = tuple[slice, slice, slice]

# Deviations from the local level up to so many times the noise are noise, and stay where they are.
_NOISE_LIMIT = 3.0
# The change of a voxel below this share of the white-grey contrast is none.
_MARGIN = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Blended:
    """A scan with a lesion in it.

    Attributes:
        image: (x, y, z) like `RealAnatomy.image`; equal to it where lesion and mass effect do not reach.
        mask: bool, voxels of which at least half is abnormal.
        fraction: 0..1, how much of a voxel is abnormal.
        contrast: mean difference to the original inside the mask, in units of the white-grey difference.
    """

    image: Array
    mask: NDArray[np.bool_]
    fraction: Array
    contrast: float


def blend_in(
    real: RealAnatomy, lesion: Lesion, rng: np.random.Generator, *, strength: float = 1.0
) -> Blended:
    """Blend a lesion into the scan that its anatomy was read from.

    Args:
        real: the scan.
        lesion: grown in `real.anatomy`.
        rng: for the mottling of abnormal tissue.
        strength: multiplies the difference to the tissue that was there (not of fluid, texture, displacement).
    """
    planes = _section(real, lesion)
    fine = real.anatomy.fine
    fraction = real.box.outward(lesion.fraction(fine), planes=planes) * real.brain
    displacement = _displacement(real, lesion, planes)
    reach = fraction > 1e-4
    if displacement is not None:
        reach |= (np.abs(displacement) > 0.01).any(axis=0) & real.brain
    if not reach.any():
        return Blended(
            image=real.image.copy(), mask=np.zeros(reach.shape, bool), fraction=fraction, contrast=0.0
        )
    window = _window(reach)
    image = real.image.copy()
    image[window] = np.where(
        reach[window], _changed(real, lesion, window, displacement, planes, rng, strength), real.image[window]
    )
    mask = fraction >= min(0.5, 0.75 * float(fraction.max())) if fraction.max() > 0.05 else reach & False
    change = image[mask] - real.image[mask]
    contrast = float(change.mean()) / real.tissue.contrast if mask.any() else 0.0
    return Blended(image=image, mask=mask, fraction=fraction, contrast=contrast)


def _changed(
    real: RealAnatomy,
    lesion: Lesion,
    window: Slices,
    displacement: Array | None,
    planes: slice | None,
    rng: np.random.Generator,
    strength: float,
) -> Array:
    """The window of the scan with the lesion."""
    brain, bias = real.brain[window], real.tissue.bias[window]
    local, noise = _parted(real, window)
    rest = real.image[window] - noise
    if displacement is not None:
        local, rest = _moved(local, displacement, window), _moved(rest, displacement, window)
    out = rest + noise
    levels, fine = real.tissue.levels, real.anatomy.fine
    span = np.float32(1.5 * real.tissue.contrast)
    mottling = cloud(fine, (9.0, 4.0), rng)
    for patch in lesion.patches:
        if patch.kind == DISPLACED:
            continue
        whole = np.zeros(fine.shape, np.float32)
        whole[patch.window] = patch.fraction
        fraction = real.box.outward(whole, planes=planes)[window] * brain
        if patch.kind == TEXTURE:
            part = window_space(fine, patch.window)
            whole[patch.window] = cloud(part, _GRAIN_MM, rng, within=fine, falloff=1.0)
            out = retexture(
                out,
                fraction,
                patch.strength,
                texture=real.box.outward(whole, planes=planes)[window],
                amplitude=_ROUGHNESS * levels["white"],
                spacing=real.box.sizes[0],
            )
            continue
        share = 1.0 if patch.kind in FLUID_LIKE else strength
        target = np.float32(level_of(patch.kind, real.tissue, strength=patch.strength)) * bias
        mottle = real.box.outward(mottling, planes=planes)[window]
        target = target * (1 + np.float32(_MOTTLING[patch.kind]) * mottle)
        # Some of the grey-white difference shines through.
        target += np.float32(_SHINE[patch.kind]) * np.clip(local - levels["white"] * bias, -span, span)
        step = np.float32(share) * fraction * (target - local)
        out, local = out + step, local + step
    return np.where(brain, np.maximum(out, 0), real.image[window]).astype(np.float32)


def _parted(real: RealAnatomy, window: Slices) -> tuple[Array, Array]:
    """Local level (edges kept) and noise of a window of the scan."""
    size = tuple(1 if count == 1 else 3 for count in real.image.shape)
    wide = tuple(slice(max(part.start - 2, 0), part.stop + 2) for part in window)
    inner = tuple(
        slice(part.start - more.start, part.start - more.start + part.stop - part.start)
        for part, more in zip(window, wide, strict=True)
    )
    image = real.image[wide]
    local = ndimage.median_filter(image, size=size)[inner]
    limit = _NOISE_LIMIT * real.tissue.noise
    noise = np.clip(real.image[window] - local, -limit, limit) * real.brain[window]
    return local, noise.astype(np.float32)


def _moved(values: Array, displacement: Array, window: Slices) -> Array:
    """A window of the scan after the displacement (voxels), by cubic interpolation."""
    shift = displacement[(slice(None), *window)]
    moved = (np.abs(shift) > 0.01).any(axis=0)
    if not moved.any():
        return values
    flat = values.shape[2] == 1
    where = np.stack(np.nonzero(moved)).astype(np.float32) + shift[:, moved]
    out = values.copy()
    if flat:
        out[moved] = ndimage.map_coordinates(values[:, :, 0], where[:2], order=3, mode="nearest")
    else:
        out[moved] = ndimage.map_coordinates(values, where, order=3, mode="nearest")
    # Cubic interpolation overshoots at sharp edges.
    return np.clip(out, values.min(), values.max())


def _displacement(real: RealAnatomy, lesion: Lesion, planes: slice | None) -> Array | None:
    """(3, ...) in voxels of the scan: where the tissue came from."""
    effect = lesion.mass_effect
    if effect is None:
        return None
    parts = []
    for axis in range(3):
        if real.box.flat and axis == 2:
            parts.append(np.zeros(real.image.shape, np.float32))
            continue
        whole = np.zeros(real.anatomy.fine.shape, np.float32)
        whole[effect.window] = effect.displacement[axis]
        parts.append(real.box.outward(whole, planes=planes) / np.float32(real.box.sizes[axis]))
    return np.stack(parts)


def _section(real: RealAnatomy, lesion: Lesion) -> slice | None:
    """Of a slab, the planes that become the slice: as thick as a pixel is wide, where the lesion is largest."""
    if not real.box.flat:
        return None
    fine = real.anatomy.fine
    thick = max(1, round(real.box.sizes[0] / fine.spacing))
    areas = (lesion.fraction(fine) * (real.anatomy.white + real.anatomy.grey + real.anatomy.fluid)).sum(
        axis=(0, 1)
    )
    sums = np.convolve(areas, np.ones(thick), mode="valid")
    # The middle where there is nothing to choose.
    first = int(sums.argmax()) if sums.max() > 0 else (len(areas) - thick) // 2
    return slice(first, first + thick)


def _window(reach: NDArray[np.bool_]) -> Slices:
    parts = []
    for axis in range(3):
        line = np.flatnonzero(reach.any(axis=tuple({0, 1, 2} - {axis})))
        count = reach.shape[axis]
        parts.append(slice(max(0, int(line[0]) - _MARGIN), min(count, int(line[-1]) + 1 + _MARGIN)))
    return parts[0], parts[1], parts[2]
