"""Thumbnails: small copies of images that may be kept for a whole cohort and compared with each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float32]

SIDE = 32
"""Pixels a side of a picture's thumbnail."""

SIDE_3D = 16
"""Voxels a side of a volume's thumbnail: 8 kB a volume in half precision."""


def thumbnail(image: NDArray[np.float32]) -> NDArray[np.float16]:
    """The whole image (rows, columns, slices) squeezed to a square or a cube, 0 to 1.

    Returns:
        (32, 32) for a single slice, (16, 16, 16) for a volume.
    """
    from PIL import Image

    if image.shape[2] == 1:
        picture = Image.fromarray(np.ascontiguousarray(image[:, :, 0], dtype=np.float32))
        small = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BOX))
    else:
        # Means over blocks come first: `zoom` alone would pick single voxels.
        steps = [max(1, size // SIDE_3D) for size in image.shape]
        part = image[
            tuple(slice(0, size - size % step) for size, step in zip(image.shape, steps, strict=True))
        ]
        for axis, step in enumerate(steps):
            shape = [*part.shape[:axis], part.shape[axis] // step, step, *part.shape[axis + 1 :]]
            part = part.reshape(shape).mean(axis=axis + 1)
        small = ndimage.zoom(
            part, [SIDE_3D / size for size in part.shape], order=1, grid_mode=True, mode="nearest"
        )
    low, high = float(small.min()), float(small.max())
    return ((small - low) / max(high - low, 1e-12)).astype(np.float16)


def unit(thumbnails: NDArray[np.floating]) -> Floats:
    """(N, …) thumbnails as (N, pixels) of mean 0 and length 1: their products are correlations."""
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(length, 1e-6), dtype=np.float32)


def means_of_others(
    units: Floats, subjects: Sequence[Hashable], places: Sequence[Hashable]
) -> tuple[Floats, NDArray[np.int64]]:
    """For each thumbnail, the mean of those at its place (such as a height in the head) of other subjects.

    Args:
        units: (N, pixels).
        subjects: N, whom they are from.
        places: N; only those of an equal place are compared.

    Returns:
        (N, pixels), of length 1; and how many other subjects each is a mean over.
    """
    totals: dict[Hashable, Floats] = {}
    own: dict[tuple[Hashable, Hashable], Floats] = {}
    counts: dict[Hashable, set[Hashable]] = defaultdict(set)
    for row, subject, place in zip(units, subjects, places, strict=True):
        totals[place] = totals.get(place, np.zeros_like(row)) + row
        own[place, subject] = own.get((place, subject), np.zeros_like(row)) + row
        counts[place].add(subject)
    out = np.stack(
        [totals[place] - own[place, subject] for subject, place in zip(subjects, places, strict=True)]
    )
    length = np.linalg.norm(out, axis=1, keepdims=True)
    others = np.asarray([len(counts[place]) - 1 for place in places], dtype=np.int64)
    return np.asarray(out / np.maximum(length, 1e-6), dtype=np.float32), others
