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


def is_stripped(image: NDArray[np.float32], spacing: Spacing) -> bool:
    """Whether an image (rows, columns, slices) shows a brain and nothing else.

    It does if all of this holds:

    1. a quarter of the image or more has exactly one value, the background (air in a scan is noisy);
    2. everything else is the object: what is not background agrees with the head found by thresholding;
    3. hardly anything lies outside the object (dim noise that a scanner left in part of the air);
    4. the object has no bright rim, as the fat of the scalp is.
    """
    background = foreground.commonest_edge_value(image)
    if float((image == background).mean()) < LEAST_BACKGROUND:
        return False
    flat = image.shape[2] == 1
    steps = [1 if flat else max(1, int(2.0 / size)) for size in spacing]
    image = image[tuple(slice(None, None, step) for step in steps)]
    found = foreground.nonzero(image[None])
    expected = foreground.head(image)
    size = float(found.sum())
    agreement = 2 * float((found & expected).sum()) / max(size + float(expected.sum()), 1.0)
    # Values that ring around 0 at the edge of an interpolated brain are spill, but few.
    spill = float(((image != background) & ~found).sum()) / max(size, 1.0)
    if agreement < LEAST_AGREEMENT or spill > MOST_SPILL:
        return False
    return not _has_bright_rim(image, found, [size * step for size, step in zip(spacing, steps, strict=True)])


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
