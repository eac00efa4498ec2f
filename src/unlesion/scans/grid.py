"""The geometry of a scan: canonical inside, the file's own outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Canonical axes: rows run to posterior, columns to left, slices up ("PLS" in nibabel's codes), so
# that `voxels[c, :, :, k]` is an axial slice drawn as a radiologist sees it, like a picture file.
CANONICAL_AXES = ("P", "L", "S")


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """Where the voxels of a scan lie, and how they lay in its file.

    Attributes:
        shape: (rows, columns, slices) of the canonical array; one slice for pictures.
        affine: 4 x 4, canonical index (row, column, slice, 1) to RAS+ world millimetres.
        spacing: mm along rows, columns, slices (size of a voxel).
        spacing_known: False where the file says nothing (pictures, bare arrays): then `spacing` is 1.
        family: "nifti", "picture" or "numpy": the family of formats that results are written in.
        file_shape: spatial shape of the array in the file.
        axis_order: file array = canonical array transposed by this order and then flipped ...
        axis_flip: ... along the file axes where this is True.
        header: what the format needs to write alike (NIfTI: the nibabel header); opaque to others.
        volumes: how many volumes, or pages, the file holds; this is the grid of one of them.
        notes: what the reader of the file had to assume, as warnings.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    spacing: tuple[float, float, float]
    spacing_known: bool
    family: str
    file_shape: tuple[int, ...]
    axis_order: tuple[int, int, int] = (0, 1, 2)
    axis_flip: tuple[bool, bool, bool] = (False, False, False)
    header: Any = None
    volumes: int = 1
    notes: tuple[str, ...] = ()

    @property
    def is_flat(self) -> bool:
        """True for a single slice or picture."""
        return self.shape[2] == 1

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in millilitres (meaningless where the spacing is unknown)."""
        # Slanted axes enclose less than the product of their lengths.
        return abs(float(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    @property
    def pixel_mm2(self) -> float:
        """Area of a voxel within its slice in mm² (meaningless where the spacing is unknown)."""
        return float(np.linalg.norm(np.cross(self.affine[:3, 0], self.affine[:3, 1])))

    @property
    def _flipped(self) -> tuple[int, ...]:
        return tuple(axis for axis in range(3) if self.axis_flip[axis])

    def to_file(self, array: NDArray[Any]) -> NDArray[Any]:
        """Bring a canonical array (rows, columns, slices) back to the axes and shape of the file."""
        if array.shape != self.shape:
            raise ValueError(f"expected an array of shape {self.shape}, got {array.shape}")
        out = np.transpose(array, self.axis_order)
        out = np.flip(out, self._flipped)
        return np.ascontiguousarray(out.reshape(self.file_shape))

    def from_file(self, array: NDArray[Any]) -> NDArray[Any]:
        """Bring an array as it lies in the file to canonical axes; the inverse of `to_file`."""
        if array.shape != self.file_shape:
            raise ValueError(f"expected an array of shape {self.file_shape}, got {array.shape}")
        three = tuple(self.shape[axis] for axis in self.axis_order)
        out = np.flip(array.reshape(three), self._flipped)
        return np.ascontiguousarray(np.transpose(out, np.argsort(self.axis_order)))
