"""Which side of a picture is which side of the patient."""

from __future__ import annotations

import numpy as np

from unlesion.scans.grid import Grid

# What lies at the low and at the high end of each axis of the RAS+ world.
_ENDS = (("L", "R"), ("P", "A"), ("I", "S"))


def sides_of(grid: Grid) -> tuple[str, str] | None:
    """What lies at the left and at the right edge of a slice drawn with its columns to the right.

    Args:
        grid: of the scan, in canonical axes.

    Returns:
        Such as ("R", "L"): the patient's right is at the left edge, as radiologists draw it; ("A", "P") for
        a single sagittal slice. None where nobody knows: pictures, bare arrays, prepared stores, and NIfTI
        headers that leave orientation open, for which readers only guess.
    """
    header = grid.header
    if grid.family != "nifti" or (int(header["sform_code"]) == 0 and int(header["qform_code"]) == 0):
        return None
    across = grid.affine[:3, 1]
    axis = int(np.argmax(np.abs(across)))
    low, high = _ENDS[axis]
    return (low, high) if across[axis] > 0 else (high, low)
