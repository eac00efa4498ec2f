"""How many lesions of which size were found: one recall hides that only large ones were."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from unlesion.evaluation.bootstrap import Bootstrap
from unlesion.evaluation.estimate import estimate, share
from unlesion.evaluation.groups import SIZE_BANDS, band_of_ml
from unlesion.evaluation.lesions import LesionCounts
from unlesion.evaluation.metric import Metric


class FoundBySize:
    """Annotated lesions by their own size, and how many of them were found; additive over subjects."""

    def __init__(self) -> None:
        # (bands, 2): found, all.
        self._of: dict[str, NDArray[np.int64]] = {}

    @classmethod
    def sum(cls, parts: Sequence[FoundBySize]) -> FoundBySize:
        """Several together."""
        out = cls()
        for part in parts:
            for subject, counts in part._of.items():
                out._add(subject, counts)
        return out

    def add(self, subject: str, matched: LesionCounts, voxel_ml: float | None) -> None:
        """Take in the lesions of a scan; nothing where voxels have no known volume, as in a single slice."""
        if voxel_ml is None or not matched.lesions:
            return
        bands = [band_of_ml(float(size) * voxel_ml) for size in matched.sizes]
        counts = np.zeros((len(SIZE_BANDS), 2), dtype=np.int64)
        np.add.at(counts[:, 0], bands, matched.hit.astype(np.int64))
        np.add.at(counts[:, 1], bands, 1)
        self._add(subject, counts)

    def metrics(self, bootstrap: Bootstrap) -> dict[str, Metric]:
        """Share of the lesions of each band that were found; bands without any are left out."""
        every = sum(self._of.values(), np.zeros((len(SIZE_BANDS), 2), dtype=np.int64))
        return {
            name: estimate(
                {subject: counts[band] for subject, counts in self._of.items()},
                share,
                bootstrap,
                carriers=sum(bool(counts[band, 1]) for counts in self._of.values()),
                why="no annotated lesions",
                extra={"lesions": int(every[band, 1]), "found": int(every[band, 0])},
            )
            for band, name in enumerate(SIZE_BANDS)
            if every[band, 1]
        }

    def _add(self, subject: str, counts: NDArray[np.int64]) -> None:
        known = self._of.get(subject)
        self._of[subject] = counts if known is None else known + counts
