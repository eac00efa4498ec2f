"""Correction of the slow shading that receive coils leave in MRI."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from unlesion.prepare import foreground
from unlesion.prepare.itk import one_thread

# mm of the voxels on which the field is estimated: it is smooth, and voxels of 1 mm take a hundred times as long.
COARSE_MM = 4.0
# Iterations on each level of the spline, from coarse to fine, and its control points on the first.
ITERATIONS, CONTROL_POINTS = (40, 40, 40), 4
# Fewer voxels than these tell no field.
LEAST = 200


class BiasStep(BaseModel):
    """Whether a bias field is taken out before intensities are made comparable; detection puts it back into the healthy image.

    Attributes:
        how: "n4", for MRI, or "none". N4 takes a large even lesion for shading in part, so that it costs contrast.

    Source: Tustison et al., N4ITK: Improved N3 Bias Correction, IEEE TMI 2010; computed by SimpleITK.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    how: Literal["none", "n4"] = "none"

    def field(
        self, voxels: NDArray[np.float32], region: NDArray[np.bool_], spacing: tuple[float, float, float]
    ) -> NDArray[np.float32] | None:
        """By what a scan is brighter than it should be, with a geometric mean of 1 in the region.

        Args:
            voxels: (C, rows, columns, slices), in the scan's units.
            region: (rows, columns, slices).
            spacing: mm per voxel.

        Returns:
            As voxels; None where nothing is to be done.
        """
        if self.how == "none":
            return None
        return np.stack([_field(channel, region & (channel > 0), spacing) for channel in voxels])


def _field(
    image: NDArray[np.float32], region: NDArray[np.bool_], spacing: tuple[float, float, float]
) -> NDArray[np.float32]:
    steps = [
        max(1, round(COARSE_MM / size)) if length > 1 else 1
        for size, length in zip(spacing, image.shape, strict=True)
    ]
    weight = foreground.block_mean(region.astype(np.float32), steps)
    coarse = foreground.block_mean(np.where(region, image, 0.0).astype(np.float32), steps) / np.maximum(
        weight, 1e-6
    )
    inside = weight > 0.5
    if inside.sum() < LEAST or not np.ptp(coarse[inside]) > 0:
        return np.ones_like(image)
    logs = _n4(coarse, inside, tuple(size * step for size, step in zip(spacing, steps, strict=True)))
    logs -= logs[inside].mean()
    return np.exp(foreground.unblock(logs, steps, image.shape)).astype(np.float32)


def _n4(
    coarse: NDArray[np.floating], inside: NDArray[np.bool_], spacing: tuple[float, ...]
) -> NDArray[np.float32]:
    """(rows, columns, slices) the logarithm of the field."""
    import SimpleITK as sitk

    flat = coarse.shape[2] == 1
    image, mask = (
        sitk.GetImageFromArray(np.ascontiguousarray(part[:, :, 0] if flat else part))
        for part in (coarse.astype(np.float32), inside.astype(np.uint8))
    )
    # The last axis of an array is the first of an ITK image.
    for part in (image, mask):
        part.SetSpacing([float(size) for size in reversed(spacing[:2] if flat else spacing)])
    correction = sitk.N4BiasFieldCorrectionImageFilter()
    correction.SetMaximumNumberOfIterations(list(ITERATIONS))
    correction.SetNumberOfControlPoints([CONTROL_POINTS] * image.GetDimension())
    with one_thread():
        correction.Execute(image, mask)
    found = sitk.GetArrayFromImage(correction.GetLogBiasFieldAsImage(image)).astype(np.float32)
    return found[:, :, None] if flat else found
