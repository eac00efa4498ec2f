"""Traits of a scan by which it can be like or unlike others: contrast, spacing, field of view, texture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Prepared intensities lie between 0 and this.
BRIGHTEST = 1.5
BINS = 60


@dataclass(frozen=True, kw_only=True)
class Trait:
    """A number that describes the geometry or the texture of a scan.

    Attributes:
        what: in words.
        unit: of the number.
        least: whether too small a number is unlike, too.
    """

    what: str
    unit: str
    least: bool = True


TRAITS: Mapping[str, Trait] = {
    "voxel_mm": Trait(what="spacing (in-plane)", unit="mm"),
    "thickness_mm": Trait(what="spacing (of slices)", unit="mm"),
    "area_cm2": Trait(what="field of view (area inside the region of interest)", unit="cm²"),
    "height_mm": Trait(what="field of view (height covered)", unit="mm"),
    "roughness": Trait(
        what="texture (mean step from pixel to pixel)",
        unit="of the mean step between any two pixels",
        # A large lesion smooths a scan: 7 in 100 gliomas (lgg_flair) lie below all healthy scans.
        least=False,
    ),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Traits:
    """What was measured on one scan.

    Attributes:
        histogram: (C, BINS) shares of prepared intensities inside the roi; None for an empty roi.
        values: by name in `TRAITS`; heights and thicknesses only of volumes, roughness not of
            a scan of one grey value.
        modality: names of the channels.
    """

    histogram: NDArray[np.float64] | None
    values: Mapping[str, float]
    modality: tuple[str, ...]


def traits_of(
    *,
    images: NDArray[Any],
    roi: NDArray[np.bool_],
    pixel_mm: tuple[float, float, float],
    matrix: NDArray[np.float64],
    modality: tuple[str, ...],
) -> Traits:
    """Measure a prepared scan.

    Args:
        images: (S, C, H, W) prepared intensities.
        roi: (S, H, W).
        pixel_mm: mm per prepared pixel along rows, columns, slices (0: a flat scan).
        matrix: (4, 4) prepared index (row, column, slice) to index in the scan.
        modality: names of the channels.
    """
    if not roi.any():
        return Traits(histogram=None, values={}, modality=modality)
    histogram = np.stack([_histogram(images[:, channel][roi]) for channel in range(images.shape[1])])
    rows, columns, slices = pixel_mm
    # Voxels of the scan that a step of one prepared pixel crosses, along each prepared axis.
    crossed = np.linalg.norm(matrix[:3, :3], axis=0)
    values = {
        "voxel_mm": float(np.sqrt(rows * columns / (crossed[0] * crossed[1]))),
        "area_cm2": float(roi.sum(axis=(1, 2)).max()) * rows * columns / 100.0,
    }
    if slices > 0:
        values["thickness_mm"] = float(slices / crossed[2])
        values["height_mm"] = float(roi.any(axis=(1, 2)).sum()) * slices
    rough = _roughness(images, roi)
    if rough is not None:
        values["roughness"] = rough
    return Traits(histogram=histogram, values=values, modality=modality)


def _roughness(images: NDArray[Any], roi: NDArray[np.bool_]) -> float | None:
    """Mean |difference| of neighbouring pixels over that of any two pixels, mean over channels.

    About 1 for noise, whatever its grey values, and nearer 0 the smoother a picture is. Histograms do not see
    it, and a map may not either: a median filter takes away what noise leaves there.
    """
    down, across = roi[:, 1:] & roi[:, :-1], roi[:, :, 1:] & roi[:, :, :-1]
    found = []
    for channel in range(images.shape[1]):
        image = images[:, channel].astype(np.float32)
        values = np.sort(image[roi]).astype(np.float64)
        count = len(values)
        steps = np.concatenate([np.abs(np.diff(image, axis=1))[down], np.abs(np.diff(image, axis=2))[across]])
        if count < 2 or len(steps) == 0:
            continue
        # Gini's mean difference, from the sorted values.
        ranks = 2 * np.arange(1, count + 1) - count - 1
        anywhere = 2.0 * float((ranks * values).sum()) / (count * (count - 1))
        if anywhere > 0:
            found.append(float(steps.mean()) / anywhere)
    return float(np.mean(found)) if found else None


def contrast_distance(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """How far apart two histograms (C, BINS) are: the largest channel's earth mover's distance.

    In units of prepared intensity: 0.1 says that the average pixel would have to change by 0.1.
    """
    gap = np.abs(np.cumsum(first, axis=1) - np.cumsum(second, axis=1))
    return float(gap.sum(axis=1).max() * BRIGHTEST / BINS)


def _histogram(values: NDArray[Any]) -> NDArray[np.float64]:
    clipped = np.clip(values.astype(np.float32), 0.0, BRIGHTEST)
    counts, _ = np.histogram(clipped, bins=BINS, range=(0.0, BRIGHTEST))
    shares: NDArray[np.float64] = counts / max(1, counts.sum())
    return shares
