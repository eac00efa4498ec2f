"""Which slice of a volume to show, and which part of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Box = tuple[slice, slice]


def choose_slice(
    *,
    anomaly: NDArray[np.floating],
    roi: NDArray[np.bool_] | None = None,
    lesions: NDArray[np.bool_] | None = None,
) -> int:
    """The slice that says most: the largest lesion area, else the highest sum of the map in the roi.

    Args:
        anomaly: (rows, columns, slices).
        roi: like it, or None for everything.
        lesions: like it, annotated, or None.
    """
    if lesions is not None and lesions.any():
        return int(np.argmax(lesions.sum(axis=(0, 1))))
    values = np.where(roi, anomaly, 0.0) if roi is not None and roi.any() else anomaly
    return int(np.argmax(values.sum(axis=(0, 1), dtype=np.float64)))


def choose_slices(
    *,
    anomaly: NDArray[np.floating],
    roi: NDArray[np.bool_] | None = None,
    lesions: NDArray[np.bool_] | None = None,
    count: int = 6,
) -> list[int]:
    """`count` slices, lowest first: spread over the roi, the nearest replaced by the one that says most."""
    slices = anomaly.shape[2]
    inside = np.flatnonzero(roi.any(axis=(0, 1))) if roi is not None and roi.any() else np.arange(slices)
    if len(inside) <= count:
        return [int(i) for i in inside]
    # The outermost slices of a head hold little: stay off both ends.
    spread = np.linspace(inside[0], inside[-1], count + 2)[1:-1]
    chosen = [int(i) for i in np.unique(np.rint(spread))]
    best = choose_slice(anomaly=anomaly, roi=roi, lesions=lesions)
    nearest = int(np.argmin([abs(i - best) for i in chosen]))
    chosen[nearest] = best
    return sorted(set(chosen))


def crop_box(*masks: NDArray[Any] | None, shape: tuple[int, int], margin: float = 0.06) -> Box:
    """The part of a slice around everything that is set in any of the masks; all of it if nothing is.

    Args:
        masks: (rows, columns), or None.
        shape: of the slice.
        margin: left free on each side, as a share of the box.
    """
    union = np.zeros(shape, bool)
    for mask in masks:
        if mask is not None:
            union |= mask.astype(bool)
    if not union.any():
        return slice(0, shape[0]), slice(0, shape[1])
    ends = []
    for axis in (0, 1):
        where = np.flatnonzero(union.any(axis=1 - axis))
        low, high = int(where[0]), int(where[-1]) + 1
        free = round(margin * (high - low)) + 1
        ends.append(slice(max(0, low - free), min(shape[axis], high + free)))
    return ends[0], ends[1]
