"""Faces: heads that were neither stripped nor defaced show what a patient looks like."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from unlesion.doctor.examination import Measured, Seen
from unlesion.doctor.finding import Finding
from unlesion.doctor.sight import Sight

# Below the top of an adult head in mm: the forehead, and the part of the face with nose and mouth.
FOREHEAD = (45.0, 85.0)
FACE = (105.0, 165.0)
# So much of the face's height must be in view, or nothing can be said.
IN_VIEW = 25.0
# Half the width of the midline band.
MIDLINE = 15.0
# A nose protrudes over the forehead by 10 to 25 mm; where a face was cut off, the surface lies well behind it.
PROTRUDES = 0.0


class Faces(Measured):
    """No volume shows a face."""

    name = "face"

    def measure(self, sight: Sight) -> float | None:
        grid = sight.grid
        if grid.is_flat or not grid.spacing_known or grid.family in ("picture", "numpy"):
            return None
        if sight.stripped is not False:
            return None
        rows, columns, slices = (s * n for s, n in zip(grid.spacing, sight.steps, strict=True))
        return protrusion(sight.object, (rows, columns, slices))

    def judge(self, seen: Sequence[Seen]) -> Iterable[Finding]:
        known = self.known(seen)
        faces = [(one.key, value) for one, value in known if value > PROTRUDES]
        if faces:
            yield Finding(
                code="identity.face",
                level="warning",
                where=tuple(key for key, _ in faces),
                what="the face is there: a reconstruction of the surface can be recognised",
                mend="strip the skull or deface the scans before sharing them or pictures made of them",
                of=len(seen),
                value=max(value for _, value in faces),
            )


def protrusion(head: NDArray[np.bool_], spacing: tuple[float, float, float]) -> float | None:
    """How far the face reaches beyond the forehead in the midline.

    Args:
        head: (rows, columns, slices), the filled head; rows run to posterior, slices up.
        spacing: mm.

    Returns:
        mm, positive where a nose protrudes; None where the top of the head or the face is out of view.
    """
    area = head.sum(axis=(0, 1)) * spacing[0] * spacing[1]
    high = np.flatnonzero(area > 500.0)
    # A wide cut at the upper end of the image means that the top of the head is missing.
    if high.size == 0 or (high[-1] == head.shape[2] - 1 and area[-1] > 4000.0):
        return None
    top = int(high[-1])
    depth = (top - np.arange(head.shape[2])) * spacing[2]
    upper = head[:, :, (depth >= 0) & (depth < FOREHEAD[1])].any(axis=(0, 2))
    middle = float(np.flatnonzero(upper).mean())
    reach = max(1, round(MIDLINE / spacing[1]))
    band = head[:, max(0, round(middle) - reach) : round(middle) + reach + 1]
    # The most anterior voxel that is no speck: three or more of the band's columns have it.
    full = band.sum(axis=1) >= min(3, band.shape[1])
    front = np.where(full.any(axis=0), full.argmax(axis=0), head.shape[0])
    forehead = front[(depth >= FOREHEAD[0]) & (depth <= FOREHEAD[1])]
    in_face = (depth >= FACE[0]) & (depth <= FACE[1])
    if forehead.size == 0 or in_face.sum() * spacing[2] < IN_VIEW or forehead.min() >= head.shape[0]:
        return None
    return float((forehead.min() - front[in_face].min()) * spacing[0])
