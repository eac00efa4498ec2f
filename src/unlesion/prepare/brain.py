"""An estimate of the brain inside a head that was not skull-stripped."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unlesion.prepare import foreground

Spacing = tuple[float, float, float]


def estimate(image: NDArray[np.float32], head: NDArray[np.bool_], spacing: Spacing) -> NDArray[np.bool_]:
    """Estimate the brain inside a head mask, (rows, columns, slices) bool."""
    out = np.zeros(image.shape, dtype=bool)
    if image.shape[2] > 1:
        depth = ndimage.distance_transform_edt(head, sampling=spacing)
        return np.asarray(depth > 12.0)
    depth = ndimage.distance_transform_edt(head[:, :, 0], sampling=spacing[:2])
    out[:, :, 0] = depth > 12.0
    return foreground.largest(out)
