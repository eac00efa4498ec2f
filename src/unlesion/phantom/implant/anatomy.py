"""The anatomy of a real person, as the pathologies need it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unlesion.errors import BadInput
from unlesion.phantom.anatomy import OVERSAMPLING, Anatomy
from unlesion.phantom.implant.box import Box, Sizes, from_xyz, to_xyz
from unlesion.phantom.implant.place import place_slice, place_volume, ventricles
from unlesion.phantom.implant.tissue import Tissue, find_tissue, known_modality
from unlesion.phantom.template import load_template
from unlesion.prepare.roi import Region, RoiStep
from unlesion.scans import Scan
from unlesion.synthesis import average_blocks, trilinear

Array = NDArray[np.float32]

# A picture that does not know its pixels' size: mm across its longer side, of a head and of a brain cut out;
# the values of the recipe `slices`.
HEAD_WIDTH_MM, BRAIN_WIDTH_MM = 240.0, 192.0
# A slice less like every height of the template than this is no axial brain slice.
LEAST_LIKENESS = 0.4
# Of a brain; interpolation leaves a few voxels below 0.
MOST_BELOW = 0.1
_VERTEX_MM = 78.0


@dataclass(frozen=True, kw_only=True, eq=False)
class RealAnatomy:
    """A real healthy scan, and the anatomy read from it.

    Attributes:
        anatomy: what pathologies need; its spaces are those of `box`.
        box: the way between the scan's voxels and the anatomy's.
        image: (x, y, z) the scan's first channel, axes to right, anterior, superior.
        turned: the file holds the slice with the front of the head below; `image` has it above.
        brain: the same, bool.
        tissue: on the scan's voxels.
        assumed_mm: pixel size that was assumed, where the file knows none; else None.
        warnings: doubts, in words.
    """

    anatomy: Anatomy
    box: Box
    image: Array
    brain: NDArray[np.bool_]
    tissue: Tissue
    assumed_mm: float | None
    turned: bool = False
    warnings: tuple[str, ...] = ()

    def canonical(self, array: NDArray[Any]) -> NDArray[Any]:
        """An array like `image`, in the scan's canonical axes."""
        return from_xyz(turn(array) if self.turned else array)


def anatomy_of(scan: Scan, *, age: int = 50) -> RealAnatomy:
    """Read the anatomy of a healthy brain scan, a volume or an axial slice.

    Args:
        scan: one channel, with its modality.
        age: years, where known.

    Raises:
        BadInput: several channels, an unknown modality, or no brain with three tissues.
    """
    if scan.channels > 1:
        raise BadInput(f"{scan.key}: {scan.channels} channels; implants go into one at a time")
    modality = known_modality(scan.modality[0], scan.key)
    spacing, assumed, region = _sizes(scan)
    image = np.ascontiguousarray(to_xyz(scan.voxels[0]), dtype=np.float32)
    brain = np.ascontiguousarray(to_xyz(region.mask), dtype=bool)
    if brain.any() and float((image[brain] < 0).mean()) > MOST_BELOW:
        raise BadInput(
            f"{scan.key}: much of the brain lies below 0, as after a normalisation to a mean of 0; implants need grey values from 0 "
            "upwards: give the scan as it was before"
        )
    sizes = (spacing[1], spacing[0], spacing[2])
    tissue = find_tissue(image, brain, sizes, modality=modality, key=scan.key)
    place = place_slice(tissue, brain, sizes) if scan.grid.is_flat else place_volume(scan, region)
    if place.turned:
        image, brain, tissue = turn(image), turn(brain), tissue.turned()
    box = Box.around(brain, sizes)
    if place.alike < LEAST_LIKENESS:
        raise BadInput(
            f"{scan.key}: no axial slice through a brain (likeness to the template {place.alike:.2f}); "
            "leave it out with --where"
        )
    corner = place.corner(box)
    where = place.of(box)
    if box.flat:
        middle = float(where[2].mean())
        corner = (corner[0], corner[1], middle - box.space.extent[2] / 2)
    box = box.placed(corner)

    white, grey, fluid = (box.inward(part) for part in (tissue.white, tissue.grey, tissue.fluid))
    inside = average_blocks(box.inward(brain), OVERSAMPLING) >= 0.5
    depth = _depth(inside, box)
    if box.flat:
        depth = np.minimum(depth, np.maximum(_VERTEX_MM - where[2], 2.0))
    deep_fluid = average_blocks(fluid, OVERSAMPLING)
    chambers = ventricles(where, deep_fluid, depth, box.space.spacing, flat=box.flat)
    anatomy = Anatomy(
        space=box.space,
        white=white,
        grey=grey,
        fluid=fluid,
        detail=np.zeros((1, 1, 1), np.float32),
        deep=grey * _twice(1 - _cortex(where)),
        brain=inside,
        side=where[0],
        height=where[2],
        depth=depth,
        from_ventricles=_away(chambers, box),
        age=age,
    )
    warnings = (*region.warnings, *place.warnings)
    return RealAnatomy(
        anatomy=anatomy,
        box=box,
        image=image,
        brain=brain,
        tissue=tissue,
        assumed_mm=assumed,
        turned=place.turned,
        warnings=warnings,
    )


def turn(array: NDArray[Any]) -> NDArray[Any]:
    """Front to back."""
    return np.ascontiguousarray(array[:, ::-1])


def _sizes(scan: Scan) -> tuple[Sizes, float | None, Region]:
    """Voxel sizes in mm, the assumed one where the file knows none, and the region of the brain."""
    step = RoiStep(how="brain")
    if scan.grid.spacing_known or not scan.grid.is_flat:
        return scan.grid.spacing, None, step.find(scan, scan.grid.spacing)
    longer = max(scan.grid.shape[:2])
    region = step.find(scan, (HEAD_WIDTH_MM / longer, HEAD_WIDTH_MM / longer, 1.0))
    pixel = (BRAIN_WIDTH_MM if region.stripped else HEAD_WIDTH_MM) / longer
    return (pixel, pixel, 1.0), pixel, region


def _cortex(where: Array) -> Array:
    """0..1: 1 near the surface, 0 around the deep nuclei, as the template has it."""
    template = load_template()
    return trilinear(template.cortex, template.voxels(where))


def _twice(values: Array) -> Array:
    """From the output space onto the fine one."""
    for axis in range(3):
        values = np.repeat(values, OVERSAMPLING, axis=axis)
    return values


def _depth(inside: NDArray[np.bool_], box: Box) -> Array:
    """Millimetres below the brain's hull, which goes straight over the sulci."""
    spacing = box.space.spacing
    steps = round(8.0 / spacing)
    mask = inside[:, :, :1] if box.flat else inside
    padded = np.pad(mask, [(steps, steps)] * (2 if box.flat else 3) + ([(0, 0)] if box.flat else []))
    # Closing by a ball, through distances.
    out = ndimage.distance_transform_edt(~padded, sampling=spacing) > 8.0
    hull = ndimage.distance_transform_edt(~out, sampling=spacing) > 8.0
    hull = (hull | padded)[tuple(slice(steps, -steps) for _ in range(2))]
    if not box.flat:
        hull = hull[:, :, steps:-steps]
    edge = np.pad(hull, [(1, 1), (1, 1), (0, 0)] if box.flat else 1)
    depth = ndimage.distance_transform_edt(edge, sampling=spacing)[1:-1, 1:-1]
    depth = depth if box.flat else depth[:, :, 1:-1]
    return np.ascontiguousarray(np.broadcast_to(depth, inside.shape), dtype=np.float32)


def _away(chambers: NDArray[np.bool_], box: Box) -> Array:
    """Millimetres from the ventricles; far where there are none."""
    if not chambers.any():
        return np.full(chambers.shape, 60.0, np.float32)
    away = ndimage.distance_transform_edt(~chambers, sampling=box.space.spacing)
    return np.asarray(away, dtype=np.float32)
