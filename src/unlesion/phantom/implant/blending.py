"""Blending a lesion into a real image: its tissue moves, changes its level, and keeps the scanner's noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unlesion.phantom.implant.anatomy import RealAnatomy
from unlesion.phantom.implant.levels import FLUID_LIKE, level_of
from unlesion.phantom.pathologies import DISPLACED, TEXTURE, Lesion, Patch
from unlesion.phantom.signals import GRAIN_MM, MOTTLING, ROUGHNESS, SHINE, window_space
from unlesion.synthesis import cloud, retexture

Array = NDArray[np.float32]
Slices = tuple[slice, slice, slice]

# Deviations from the local level up to so many times the noise are noise, and stay where they are.
_NOISE_LIMIT = 3.0
# Voxels around all that changes.
_MARGIN = 4
# Rims of abnormal tissue: standard deviation of their blur in mm, drawn between; never more than this share of
# the lesion's inner radius, so that small ones stay.
_RIM_MM, _RIM_SHARE = (0.6, 1.5), 0.35
# How uneven the abnormality is within a lesion: standard deviation relative to its mean.
_UNEVEN = 0.22
# Displacements below this (voxels) are none.
_STILL = 0.01
# Fractions below this are none.
_LEAST = 1e-3
# Room for a rim.
_RIM_VOXELS = 6


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
        rng: for rims, mottling and unevenness of abnormal tissue.
        strength: multiplies the difference to the tissue that was there (not of fluid, texture, displacement).
    """
    painter = _Painter(real, lesion, rng)
    fraction = painter.fraction()
    reach = painter.reach()
    image = real.image.copy()
    if reach.any():
        window = _window(reach)
        changed = painter.paint(window, strength)
        image[window] = np.where(reach[window], changed, image[window])
    most = float(fraction.max())
    mask = fraction >= min(0.5, 0.75 * most) if most > 0.05 else np.zeros(fraction.shape, bool)
    change = image[mask] - real.image[mask]
    contrast = float(change.mean()) / real.tissue.contrast if mask.any() else 0.0
    return Blended(image=image, mask=mask, fraction=fraction, contrast=contrast)


class _Painter:
    """One lesion on the voxels of the scan, painted window by window.

    Args:
        real: the scan.
        lesion: what to paint.
        rng: see `blend_in`.
    """

    def __init__(self, real: RealAnatomy, lesion: Lesion, rng: np.random.Generator) -> None:
        self.real, self.rng = real, rng
        self.planes = _section(real, lesion)
        self.shift = self._displacement(lesion)
        rim = float(rng.uniform(*_RIM_MM))
        self.layers = [self._layer(patch, rim) for patch in lesion.patches]

    def fraction(self) -> Array:
        """How much of each voxel is abnormal."""
        normal = np.ones(self.real.image.shape, np.float32)
        for layer in self.layers:
            normal[layer.window] *= 1 - layer.sharp
        return 1 - normal

    def reach(self) -> NDArray[np.bool_]:
        """Voxels that change."""
        reach = np.zeros(self.real.image.shape, bool)
        for layer in self.layers:
            if layer.patch.kind != DISPLACED:
                reach[layer.window] |= layer.soft > _LEAST
        if self.shift is not None:
            window, shift = self.shift
            reach[window] |= (np.abs(shift) > _STILL).any(axis=0)
        return reach & self.real.brain

    def paint(self, window: Slices, strength: float) -> Array:
        """The window of the scan with the lesion; the window holds all that changes."""
        real = self.real
        brain, bias = real.brain[window], real.tissue.bias[window]
        local, noise = _parted(real, window)
        out = real.image[window]
        if self.shift is not None:
            out = self._moved(out - noise, window) + noise
            local = self._moved(local, window)
        local = local.copy()
        levels = real.tissue.levels
        span = np.float32(1.5 * real.tissue.contrast)
        out = out.copy()
        for layer in self.layers:
            patch = layer.patch
            if patch.kind == DISPLACED:
                continue
            inner, own = _within(layer.window, window)
            fraction = layer.soft[own]
            if patch.kind == TEXTURE:
                out[inner] = self._retextured(out[inner], layer, fraction, own)
                continue
            mottling, uneven = (self._cloud(layer)[own] for _ in range(2))
            slow, here = bias[inner], local[inner]
            target = np.float32(level_of(patch.kind, real.tissue, strength=patch.strength)) * slow
            target = target * (1 + np.float32(MOTTLING[patch.kind]) * mottling)
            # Some of the grey-white difference shines through.
            target += np.float32(SHINE[patch.kind]) * np.clip(here - levels["white"] * slow, -span, span)
            share = np.clip(1 + np.float32(_UNEVEN) * uneven, 0.4, 1.5) * np.float32(strength)
            share = np.ones_like(share) if patch.kind in FLUID_LIKE else share
            step = share * fraction * (target - here)
            out[inner] += step
            local[inner] = here + step
        return np.where(brain, np.maximum(out, 0), real.image[window]).astype(np.float32)

    def _layer(self, patch: Patch, rim_mm: float) -> _Layer:
        window, sharp = self.real.box.outward(patch.fraction, patch.window, planes=self.planes)
        sharp = sharp * self.real.brain[window]
        if patch.kind in (TEXTURE, DISPLACED) or not (sharp > 0.5).any():
            return _Layer(patch, window, sharp, sharp)
        window, sharp = self._cropped(window, sharp)
        return _Layer(patch, window, sharp, self._soft(sharp, window, patch.kind, rim_mm))

    def _cropped(self, window: Slices, values: Array) -> tuple[Slices, Array]:
        """A window with room for a rim around what is there, and no more."""
        inner = _window(values > _LEAST, margin=0)
        parts, pads = [], []
        for part, piece, count in zip(window, inner, self.real.image.shape, strict=True):
            start = max(0, part.start + piece.start - _RIM_VOXELS)
            stop = min(count, part.start + piece.stop + _RIM_VOXELS)
            parts.append(slice(start, stop))
            pads.append((part.start + piece.start - start, stop - part.start - piece.stop))
        return (parts[0], parts[1], parts[2]), np.pad(values[inner], pads)

    def _soft(self, sharp: Array, window: Slices, kind: str, rim_mm: float) -> Array:
        """The fraction with a diffuse rim, which does not run into fluid."""
        sizes = self.real.box.sizes
        axes = 2 if self.real.box.flat else 3
        core = (sharp > 0.5).reshape(sharp.shape[:axes])
        radius = float(ndimage.distance_transform_edt(core, sampling=sizes[:axes]).max())
        width = min(rim_mm, _RIM_SHARE * radius)
        sigma = [width / size for size in sizes[:axes]] + [0.0] * (3 - axes)
        blurred = ndimage.gaussian_filter(sharp, sigma, truncate=3.0)
        if kind not in FLUID_LIKE:
            fluid = self.real.tissue.fluid[window]
            if self.shift is not None:
                fluid = self._moved(fluid, window)
            blurred = np.minimum(blurred, np.maximum(sharp, 1 - fluid))
        return np.asarray(blurred * self.real.brain[window], dtype=np.float32)

    def _retextured(self, values: Array, layer: _Layer, fraction: Array, own: Slices) -> Array:
        return retexture(
            values,
            fraction,
            layer.patch.strength,
            texture=self._cloud(layer, GRAIN_MM, falloff=1.0)[own],
            amplitude=ROUGHNESS * self.real.tissue.levels["white"],
            # Slices may be thicker than their pixels.
            spacing=self.real.box.sizes[0] if self.real.box.flat else self.real.box.sizes,
        )

    def _cloud(self, layer: _Layer, scales: tuple[float, ...] = (9.0, 4.0), falloff: float = 0.6) -> Array:
        """A cloudy texture on the layer's window."""
        fine = window_space(self.real.anatomy.fine, layer.patch.window)
        texture = cloud(fine, scales, self.rng, falloff=falloff)
        window, values = self.real.box.outward(texture, layer.patch.window, planes=self.planes)
        if window == layer.window:
            return values
        out = np.zeros(layer.sharp.shape, np.float32)
        inner, own = _within(window, layer.window)
        out[inner] = values[own]
        return out

    def _displacement(self, lesion: Lesion) -> tuple[Slices, Array] | None:
        """Where tissue came from: a window of the scan, and (3, window) voxels."""
        effect = lesion.mass_effect
        if effect is None:
            return None
        box, parts = self.real.box, []
        for axis in range(3):
            window, part = box.outward(effect.displacement[axis], effect.window, planes=self.planes)
            still = box.flat and axis == 2
            parts.append(np.zeros_like(part) if still else part / np.float32(box.sizes[axis]))
        return window, np.stack(parts)

    def _moved(self, values: Array, window: Slices) -> Array:
        """A window of the scan after the displacement, by cubic interpolation."""
        assert self.shift is not None
        inner, own = _within(self.shift[0], window)
        shift = np.zeros((3, *values.shape), np.float32)
        shift[(slice(None), *inner)] = self.shift[1][(slice(None), *own)]
        moved = (np.abs(shift) > _STILL).any(axis=0)
        if not moved.any():
            return values
        where = np.stack(np.nonzero(moved)).astype(np.float32) + shift[:, moved]
        out = values.copy()
        if values.shape[2] == 1:
            out[moved] = ndimage.map_coordinates(values[:, :, 0], where[:2], order=3, mode="nearest")
        else:
            out[moved] = ndimage.map_coordinates(values, where, order=3, mode="nearest")
        # Cubic interpolation overshoots at sharp edges.
        return np.clip(out, values.min(), values.max())


@dataclass(frozen=True, eq=False)
class _Layer:
    """A patch on the voxels of the scan: its fraction as grown, and with its rim."""

    patch: Patch
    window: Slices
    sharp: Array
    soft: Array


def _parted(real: RealAnatomy, window: Slices) -> tuple[Array, Array]:
    """Local level (edges kept) and noise of a window of the scan."""
    local = real.image[tuple(slice(max(part.start - 1, 0), part.stop + 1) for part in window)]
    for axis, count in enumerate(real.image.shape):
        if count > 1:
            local = _middle_of_three(local, axis)
    local = local[
        tuple(slice(min(part.start, 1), min(part.start, 1) + part.stop - part.start) for part in window)
    ]
    limit = _NOISE_LIMIT * real.tissue.noise
    noise = np.clip(real.image[window] - local, -limit, limit) * real.brain[window]
    return local, noise.astype(np.float32)


def _middle_of_three(values: Array, axis: int) -> Array:
    """The median of each voxel and its two neighbours along an axis."""
    pad = [(0, 0)] * 3
    pad[axis] = (1, 1)
    wide = np.moveaxis(np.pad(values, pad, mode="edge"), axis, 0)
    before, here, after = wide[:-2], wide[1:-1], wide[2:]
    middle = np.maximum(np.minimum(before, here), np.minimum(np.maximum(before, here), after))
    return np.asarray(np.moveaxis(middle, 0, axis))


def _section(real: RealAnatomy, lesion: Lesion) -> slice | None:
    """Of a slab, the planes that become the slice: as thick as a pixel is wide, where the lesion is largest."""
    if not real.box.flat:
        return None
    fine = real.anatomy.fine
    thick = max(1, round(real.box.sizes[0] / fine.spacing))
    tissue = real.anatomy.white + real.anatomy.grey + real.anatomy.fluid
    areas = (lesion.fraction(fine) * tissue).sum(axis=(0, 1))
    sums = np.convolve(areas, np.ones(thick), mode="valid")
    # The middle where there is nothing to choose.
    first = int(sums.argmax()) if sums.max() > 0 else (len(areas) - thick) // 2
    return slice(first, first + thick)


def _within(part: Slices, window: Slices) -> tuple[Slices, Slices]:
    """The common part of two windows: as slices of the second, and of the first."""
    inner, own = [], []
    for mine, whole in zip(part, window, strict=True):
        start, stop = max(mine.start, whole.start), min(mine.stop, whole.stop)
        stop = max(stop, start)
        inner.append(slice(start - whole.start, stop - whole.start))
        own.append(slice(start - mine.start, stop - mine.start))
    return (inner[0], inner[1], inner[2]), (own[0], own[1], own[2])


def _window(reach: NDArray[np.bool_], *, margin: int = _MARGIN) -> Slices:
    parts = []
    for axis in range(3):
        line = np.flatnonzero(reach.any(axis=tuple({0, 1, 2} - {axis})))
        count = reach.shape[axis]
        parts.append(slice(max(0, int(line[0]) - margin), min(count, int(line[-1]) + 1 + margin)))
    return parts[0], parts[1], parts[2]
