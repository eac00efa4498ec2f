"""Fidelity: how well healthy scans are kept, and how well lesions are healed where the truth is known."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unlesion.scoring import local_ssim

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

# PSNR of a perfect image is infinite; JSON has no infinity.
HIGHEST_PSNR = 100.0

# Slices whose SSIM is computed at once.
_SLICES = 16


@dataclass(frozen=True, kw_only=True)
class Units:
    """What makes intensities comparable: (value - offset) / scale, per channel.

    Attributes:
        offset, scale: one per channel, in the scan's own units.
    """

    offset: tuple[float, ...]
    scale: tuple[float, ...]

    @classmethod
    def of(cls, image: Floats, roi: Mask) -> Units:
        """1st percentile to 0 and 99th to 1 inside the roi, for scans that came without units."""
        pairs = []
        for channel in image:
            values = channel[roi] if roi.any() else channel
            low, high = np.percentile(values, [1, 99])
            pairs.append((float(low), float(high - low) or 1.0))
        return cls(offset=tuple(p[0] for p in pairs), scale=tuple(p[1] for p in pairs))

    def apply(self, image: Floats) -> Floats:
        """(C, rows, columns, slices) in normalised units."""
        shape = (-1, 1, 1, 1)
        offset = np.asarray(self.offset, np.float32).reshape(shape)
        scale = np.asarray(self.scale, np.float32).reshape(shape)
        out: Floats = (image - offset) / scale
        return out


def kept(image: Floats, healthy: Floats, roi: Mask, units: Units) -> dict[str, float]:
    """MAE, PSNR (dB, for a range of 1) and mean local SSIM (axial slices) inside the roi.

    Args:
        image: (C, rows, columns, slices) in the scan's own units.
        healthy: the same, the pseudo-healthy image.
        roi: (rows, columns, slices), not empty.
        units: to normalise by.
    """
    box = _box(roi)
    inside = roi[box]
    first = units.apply(image[(slice(None), *box)])
    second = units.apply(healthy[(slice(None), *box)])
    gap = (first - second)[:, inside].astype(np.float64)
    square = float(np.mean(gap**2))
    psnr = HIGHEST_PSNR if square == 0 else min(HIGHEST_PSNR, -10 * math.log10(square))
    total, count = 0.0, 0
    for start in range(0, inside.shape[2], _SLICES):
        part = slice(start, start + _SLICES)
        # Slices to the front, because SSIM is taken on the last two axes.
        here = np.moveaxis(inside[..., part], 2, 0)
        alike = local_ssim(np.moveaxis(first[..., part], 3, 1), np.moveaxis(second[..., part], 3, 1))
        total += float(alike[:, here].sum(dtype=np.float64))
        count += int(here.sum()) * len(first)
    return {"mae": float(np.mean(np.abs(gap))), "psnr": psnr, "ssim": total / count}


def healed(
    image: Floats, healthy: Floats, twin: Floats, lesion: Mask, units: Units
) -> dict[str, float] | None:
    """How near the pseudo-healthy image is to the true healthy twin inside the lesion.

    Args:
        image: (C, rows, columns, slices) in the scan's own units.
        healthy: the same, the pseudo-healthy image.
        twin: the same, the true healthy counterpart.
        lesion: (rows, columns, slices), the part of the lesion inside the roi.
        units: to normalise by.

    Returns:
        "mae_lesion" = mean |healthy - twin|, "mae_before" = mean |scan - twin|, normalised; None
        without a lesion.
    """
    if not lesion.any():
        return None
    first, second, truth = (units.apply(x[:, lesion][:, :, None, None]) for x in (image, healthy, twin))
    return {
        "mae_lesion": float(np.mean(np.abs(second - truth), dtype=np.float64)),
        "mae_before": float(np.mean(np.abs(first - truth), dtype=np.float64)),
    }


def _box(roi: Mask) -> tuple[slice, ...]:
    out = []
    for axis in range(3):
        there = np.flatnonzero(roi.any(axis=tuple(other for other in range(3) if other != axis)))
        # SSIM looks five pixels around.
        out.append(slice(max(0, int(there[0]) - 5), int(there[-1]) + 6))
    return tuple(out)
