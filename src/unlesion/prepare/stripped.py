"""Is a scan skull-stripped already?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unlesion.prepare import foreground

Spacing = tuple[float, float, float]

# The bounds lie in wide gaps: measured over stripped T1, T1CE, T2 and FLAIR of four sources (volumes,
# slices, JPEG artefacts) and 557 slices of whole heads from many scanners, some with air set to 0.
LEAST_BACKGROUND = 0.25
LEAST_AGREEMENT = 0.96
MOST_SPILL = 0.15
BRIGHTEST_RIM = 1.6

# The head of a small child has as much; no brain with its fluid does.
SMALLEST_HEAD_ML = 2200.0
# Of a region that lies in the picture as a whole hardly anything lies on the picture's faces; of a slab or a crop much does.
MOST_ON_FACES = 0.01


def is_stripped(
    image: NDArray[np.float32], spacing: Spacing, *, given: NDArray[np.bool_] | None = None
) -> bool:
    """Whether an image shows a brain and nothing else.

    It does if all of this holds:

    1. a quarter of the image or more has exactly one value, the background (air in a scan is noisy);
    2. everything else is the object: what is not background agrees with the head found by thresholding;
    3. hardly anything lies outside the object (dim noise that a scanner left in part of the air);
    4. the object has no bright rim, as the fat of the scalp is; or it lies in a given region that is too small for a
       head, for on T2 the rim of a brain is bright fluid.

    Args:
        image: (rows, columns, slices), any units.
        spacing: mm per voxel.
        given: (rows, columns, slices), a region of interest that came with the scan.
    """
    background = foreground.commonest_edge_value(image)
    if float((image == background).mean()) < LEAST_BACKGROUND:
        return False
    flat = image.shape[2] == 1
    steps = [1 if flat else max(1, int(2.0 / size)) for size in spacing]
    image = image[tuple(slice(None, None, step) for step in steps)]
    found = foreground.nonzero(image[None])
    tissue = foreground.beside(image)
    if (image[tissue] < background).any():
        # Grey values around 0: lifted, so that all tissue is brighter than the background.
        image = np.where(tissue, image - image[tissue].min(), 0).astype(np.float32)
        background = 0.0
    expected = foreground.head(image)
    size = float(found.sum())
    agreement = 2 * float((found & expected).sum()) / max(size + float(expected.sum()), 1.0)
    # Values that ring around 0 at the edge of an interpolated brain are spill, but few.
    spill = float(((image != background) & ~found).sum()) / max(size, 1.0)
    if agreement < LEAST_AGREEMENT or spill > MOST_SPILL:
        return False
    if given is not None and is_too_small_for_a_head(given, spacing):
        outside = found & ~given[tuple(slice(None, None, step) for step in steps)]
        if outside.sum() <= (1 - LEAST_AGREEMENT) * size:
            return True
    return not _has_bright_rim(image, found, [size * step for size, step in zip(spacing, steps, strict=True)])


def is_too_small_for_a_head(region: NDArray[np.bool_], spacing: Spacing) -> bool:
    """Whether a region can only be a brain, by its volume; never of slices, and where the picture cuts it off.

    Args:
        region: (rows, columns, slices).
        spacing: mm per voxel.
    """
    if 1 in region.shape:
        return False
    faces = sum(int(region.take(end, axis).sum()) for axis in range(3) for end in (0, -1))
    whole = faces <= MOST_ON_FACES * region.sum()
    return bool(whole and region.sum() * np.prod(spacing) / 1000.0 < SMALLEST_HEAD_ML)


def _has_bright_rim(image: NDArray[np.float32], found: NDArray[np.bool_], mm: list[float]) -> bool:
    axes = 2 if image.shape[2] == 1 else 3
    depth = ndimage.distance_transform_edt(found.squeeze(axis=2) if axes == 2 else found, sampling=mm[:axes])
    depth = depth.reshape(found.shape)
    rim = image[(depth > 1.0) & (depth <= 6.0)]
    core = image[depth > min(20.0, 0.6 * float(depth.max()))]
    if rim.size == 0 or core.size == 0:
        return False
    dark = float(image[~found].min())
    return bool(np.percentile(rim, 75) - dark > BRIGHTEST_RIM * (np.median(core) - dark))
