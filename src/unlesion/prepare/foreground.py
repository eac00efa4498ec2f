"""Telling the object from what surrounds it: background, air, black borders."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

# Voxels below the background are tissue if there are more than this share of those above.
MOST_BELOW = 0.25


def nonzero(voxels: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Voxels (C, rows, columns, slices) that differ from the background: largest component, holes filled.

    The background is the commonest value on the outer faces (0 in skull-stripped files). Interpolation
    leaves values a little around it at the edge, negative ones among them: they are background too.
    """
    inside = np.zeros(voxels.shape[1:], dtype=bool)
    for image in voxels:
        inside |= beside(image)
    return fill_holes(largest(inside))


def beside(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Voxels (rows, columns, slices) above the background; below it, too, where a good part of them lies there.

    Args:
        image: (rows, columns, slices), any units.
    """
    background = commonest_edge_value(image)
    span = float(np.percentile(image[::2, ::2], 99) - background)
    # A hundredth of the range: ringing of interpolation stays below it, tissue above.
    above = image > background + 0.01 * max(span, 0.0)
    below = image < background - 0.01 * max(span, 0.0)
    # Ringing leaves a few voxels below the background; a brain that was made to have a mean of 0, half of its own.
    return np.asarray(above | below if below.sum() > MOST_BELOW * above.sum() else above, dtype=bool)


def head(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The head (or any object) in air: threshold, largest component, holes filled."""
    # Air is the darkest class; tissue is far above it, so Otsu on the square root (which pulls the very
    # bright scalp towards the brain) separates the two, also where the brain is dim.
    lifted = np.sqrt(np.clip(image - float(np.percentile(image, 1)), 0, None))
    smooth = ndimage.gaussian_filter(lifted, (1.0, 1.0, 0.0))
    found = smooth > 0.8 * otsu(smooth)
    # The scalp may be a ring of its own around a dark skull: fill it, slice by slice (a head is open below),
    # before the largest component is chosen, or that would be the brain alone.
    filled = np.stack([ndimage.binary_fill_holes(plane) for plane in np.moveaxis(found, 2, 0)], axis=2)
    return largest(filled)


def without_borders(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The picture without rows and columns of its edges that are (nearly) constant, as black bars are."""
    plane = image.max(axis=2)
    span = float(np.percentile(plane, 99) - plane.min())
    quiet = float(plane.min()) + 0.02 * max(span, 1e-12)
    rows = np.flatnonzero(np.percentile(plane, 95, axis=1) > quiet)
    columns = np.flatnonzero(np.percentile(plane, 95, axis=0) > quiet)
    mask = np.zeros(image.shape, dtype=bool)
    if len(rows) and len(columns):
        mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    return mask


def largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest connected component (faces connect)."""
    labels, count = ndimage.label(mask)
    if count <= 1:
        return np.asarray(mask, dtype=bool)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == int(sizes.argmax()), dtype=bool)


def fill_holes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask with its holes filled, slice by slice where it is flat, else in three dimensions."""
    if mask.shape[2] == 1:
        return np.asarray(ndimage.binary_fill_holes(mask[:, :, 0]), dtype=bool)[:, :, None]
    return np.asarray(ndimage.binary_fill_holes(mask), dtype=bool)


def otsu(values: NDArray[np.float32]) -> float:
    """The threshold that separates two classes best (Otsu 1979, the largest between-class variance)."""
    counts, edges = np.histogram(values, bins=128)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts).astype(np.float64)
    above = below[-1] - below
    total = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (total / below - (total[-1] - total) / above) ** 2
    between[~np.isfinite(between)] = 0.0
    return float(centres[int(between.argmax())])


def commonest_edge_value(image: NDArray[np.float32]) -> float:
    """The commonest value on the outer faces of an image: its background."""
    faces = [image[0].ravel(), image[-1].ravel(), image[:, 0].ravel(), image[:, -1].ravel()]
    values, counts = np.unique(np.concatenate(faces), return_counts=True)
    return float(values[int(counts.argmax())])


def block_mean(image: NDArray[np.float32], steps: list[int]) -> NDArray[np.float32]:
    """Means over blocks of `steps` voxels; incomplete blocks at the far ends repeat the last voxels."""
    missing = [(0, -size % step) for size, step in zip(image.shape, steps, strict=True)]
    blocks = np.pad(image, missing, mode="edge") if any(after for _, after in missing) else image
    for axis, step in enumerate(steps):
        if step > 1:
            shape = list(blocks.shape)
            shape[axis : axis + 1] = [shape[axis] // step, step]
            blocks = blocks.reshape(shape).mean(axis=axis + 1, dtype=np.float32)
    return np.asarray(blocks, dtype=np.float32)


def unblock(blocks: NDArray[np.float32], steps: list[int], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Linear interpolation of block means back to an image of `shape`."""
    for axis, (step, size) in enumerate(zip(steps, shape, strict=True)):
        if step == 1:
            continue
        where = np.clip((np.arange(size) - (step - 1) / 2) / step, 0, blocks.shape[axis] - 1)
        low = np.minimum(where.astype(int), max(blocks.shape[axis] - 2, 0))
        high = np.minimum(low + 1, blocks.shape[axis] - 1)
        part = (where - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(blocks.ndim)])
        blocks = blocks.take(low, axis) * (1 - part) + blocks.take(high, axis) * part
    return np.asarray(blocks, dtype=np.float32)
