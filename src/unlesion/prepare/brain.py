"""An estimate of the brain inside a head that was not skull-stripped.

The idea: the brain is what is as bright as the middle of the head (or brighter: tumours), lies deeper than
the scalp, and stays whole when thin bridges through skull and meninges are cut. The scalp's fat is bright
too, but hangs together with the head's surface, which the brain does not: the dark skull lies between.

Judged by eye on FLAIR slices of 60 patients with gliomas (lgg_flair, train and val) and measured there:
99.5 % of the annotated lesion is kept, 91 % of what is brighter than 1.6 times the brain and no lesion (scalp,
orbits, sinuses) is left out. A plain erosion of the head by 10 mm leaves out 60 %. Weakest in the topmost
slices, where the scalp is cut lengthwise, and in the lowest, where lobes come in several parts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unlesion.prepare import foreground

Spacing = tuple[float, float, float]
Mask = NDArray[np.bool_]

# The work is done on pixels of about this size; finer ones change the outline by less than they cost.
WORKING_MM = {True: 1.8, False: 2.5}

SKIN_MM = 9.0  # nowhere is skin, skull and meninges together thinner
MARROW_MM = 16.0  # no marrow of the skull lies deeper
SHELL = 0.2  # a shell with more bright tissue than this is scalp or skull
SCALP_MM = 30.0  # no scalp is thicker, except at the top of the head, where slices cut it lengthwise
SURFACE_MM = 9.0  # bright tissue that comes this near to the surface is scalp
BRIDGE_MM = 6.0  # bridges from brain to orbits and scalp are thinner than twice this
GYRUS_MM = 3.0  # half a gyrus: what is cut with the bridges and grown back, up to ...
REGROW_MM = 10.0  # ... this far from the brain's core
SULCUS_MM = 15.0  # half the width of the widest sulcus that is closed over

TISSUE = 0.55  # of the brain's level; dimmer is CSF, bone, air
FAT = 1.4  # times the brain's level; brighter and at the surface is scalp
SECOND_PART = 0.25  # parts of the brain (lobes, cerebellum in a low slice) weigh this much of the largest


def estimate(image: NDArray[np.float32], head: Mask, spacing: Spacing) -> Mask:
    """Estimate the brain inside a head.

    Args:
        image: (rows, columns, slices), any units.
        head: the same, bool: not air.
        spacing: mm per voxel; the sizes above are those of adults.

    Returns:
        (rows, columns, slices) bool; empty where no brain is found.
    """
    flat = image.shape[2] == 1
    axes = 2 if flat else 3
    picture, inside = (image[:, :, 0], head[:, :, 0]) if flat else (image, head)
    steps = [max(1, int(WORKING_MM[flat] / size + 0.3)) for size in spacing[:axes]]
    mm = tuple(size * step for size, step in zip(spacing, steps, strict=False))
    coarse = foreground.block_mean(picture, steps)
    coarse_head = foreground.block_mean(inside.astype(np.float32), steps) >= 0.5
    found = _estimate(coarse, ndimage.binary_fill_holes(coarse_head), mm)
    fine = foreground.unblock(found.astype(np.float32), steps, picture.shape) >= 0.5
    return np.asarray(fine & inside if not flat else (fine & inside)[:, :, None])


def _estimate(image: NDArray[np.float32], head: Mask, mm: tuple[float, ...]) -> Mask:
    if not head.any():
        return np.zeros_like(head)
    depth = _depth(head, mm)
    level = _brain_level(image, depth)
    smooth = ndimage.gaussian_filter(np.minimum(image, 2 * level), [1.0 / size for size in mm])

    bright = head & (smooth > FAT * level) & (depth < SCALP_MM)
    scalp = _within(_touching(bright, head & (depth <= SURFACE_MM)), 1.5, mm)
    skin = _skin(smooth > FAT * level, depth)
    tissue = (smooth > TISSUE * level) & (depth > skin) & ~scalp

    thickness = _depth(tissue, mm)
    cores = thickness > min(BRIDGE_MM, 0.5 * float(thickness.max()))
    labels, count = ndimage.label(cores)
    if count == 0:
        return depth > max(skin, 0.5 * float(depth.max()))
    # Deep parts weigh more than those at the surface: the brain beats the muscles of the neck.
    weights = ndimage.sum_labels(depth**2, labels, np.arange(1, count + 1))
    core = np.isin(labels, np.flatnonzero(weights > SECOND_PART * weights.max()) + 1)

    brain = _within(core, BRIDGE_MM + 0.5, mm) & tissue
    passable = _within(thickness > GYRUS_MM, GYRUS_MM, mm) & tissue
    steps = max(1, round(REGROW_MM / min(mm)))
    brain = ndimage.binary_dilation(brain, iterations=steps, mask=passable | brain)
    brain = ndimage.binary_fill_holes(_close(brain, SULCUS_MM, mm))
    return np.asarray(brain & (depth > skin) & ~scalp)


def _skin(bright: Mask, depth: NDArray[np.float32]) -> float:
    """How deep in mm the bright shells of the head reach: fat, and marrow between the skull's tables.

    A shell counts if a good part of it is bright; a tumour at the brain's edge is a part of a shell only.
    """
    deepest = SKIN_MM
    for start in np.arange(SKIN_MM, MARROW_MM, 1.0):
        shell = bright[(depth > start) & (depth <= start + 1.0)]
        if shell.size and shell.mean() > SHELL:
            deepest = float(start) + 1.5
    return deepest


def _brain_level(image: NDArray[np.float32], depth: NDArray[np.float32]) -> float:
    """The brightness of brain tissue: the median deep in the head, without what is dark there.

    The lower of two depths is taken: the very middle may be a tumour, and further out, in slices near the
    top of the head, there is more scalp than brain.
    """
    levels = []
    for part in (0.65, 0.4):
        core = image[depth > part * float(depth.max())]
        levels.append(float(np.median(core[core >= 0.5 * np.median(core)])))
    return min(levels)


def _depth(mask: Mask, mm: tuple[float, ...]) -> NDArray[np.float32]:
    """Distance in mm to the outside; the edge of a slice is outside, the ends of a stack of slices are not."""
    padded = np.pad(mask, [(1, 1), (1, 1), (0, 0)][: mask.ndim])
    depth = ndimage.distance_transform_edt(padded, sampling=mm)
    return np.asarray(depth[1:-1, 1:-1], dtype=np.float32)


def _within(mask: Mask, reach: float, mm: tuple[float, ...]) -> Mask:
    """Everything within `reach` mm of a mask."""
    if not mask.any():
        return mask
    return np.asarray(ndimage.distance_transform_edt(~mask, sampling=mm) <= reach)


def _close(mask: Mask, reach: float, mm: tuple[float, ...]) -> Mask:
    """Closing by a ball, without an edge effect."""
    margin = int(reach / min(mm)) + 2
    grown = _within(np.pad(mask, margin), reach, mm)
    shrunk = ndimage.distance_transform_edt(grown, sampling=mm) > reach
    return np.asarray(shrunk[(slice(margin, -margin),) * mask.ndim])


def _touching(mask: Mask, seed: Mask) -> Mask:
    """The parts of a mask that meet a seed."""
    labels, _ = ndimage.label(mask, structure=np.ones((3,) * mask.ndim))
    met = np.unique(labels[seed & mask])
    return np.asarray(np.isin(labels, met[met > 0]))
