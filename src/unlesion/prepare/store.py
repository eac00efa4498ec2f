"""The prepared store: every slice of a cohort in memory-mapped arrays, ready for training."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlesion.errors import BadInput
from unlesion.files import read_json
from unlesion.prepare.load import recipe_from
from unlesion.prepare.recipe import Recipe

INDEX = "index.json"
FORMAT = "unlesion prepared store"
VERSION = 1
# The folder of its arrays; the index names it.
DATA = re.compile(r"data-[0-9a-f]{16}")
ARRAYS = ("images", "roi", "lesions", "positions", "slice_scan")


@dataclass(frozen=True, kw_only=True, eq=False)
class PreparedStore:
    """Prepared slices of a cohort; the arrays are memory maps, read as they are touched.

    On disk: `index.json` (recipe, and a row a scan) and a folder of `.npy` arrays that it names.

    Attributes:
        path: the store's folder.
        name: of the cohort.
        recipe: what prepared it.
        scans: a row a scan: the fields of its `Entry` (paths as text) and "first" (its first slice),
            "slices" (how many), "spacing" (mm per pixel), "slice_mm", "placement" (4 x 4), "scan_shape",
            "offset" and "scale" (intensities), "annotated" (has a mask), "marked" (its own mask
            marks a lesion, seen here or not), "warnings", "sha256" (of what is stored of it), "fingerprint" (of
            the times and lengths of its files, and the recipe), "print" (of what lies in its image files, see
            `prints_of`). Stores of earlier versions lack "marked", "sha256" and "print".
        images: (N, C, H, W) float16.
        roi: (N, H, W) uint8, 1 inside.
        lesions: (N, H, W) uint8, 1 where annotated.
        positions: (N,) float32, relative height.
        slice_scan: (N,) int64, the row in `scans` of every slice.
    """

    path: Path
    name: str
    recipe: Recipe
    scans: list[dict[str, Any]]
    images: NDArray[np.float16]
    roi: NDArray[np.uint8]
    lesions: NDArray[np.uint8]
    positions: NDArray[np.float32]
    slice_scan: NDArray[np.int64]

    @classmethod
    def open(cls, path: str | Path) -> PreparedStore:
        """Open a store.

        Raises:
            BadInput: not a store, of another version, or damaged.
        """
        path = Path(path)
        if not (path / INDEX).is_file():
            raise BadInput(f"{path}: no prepared store; make one with 'unlesion prepare'")
        index = read_json(path / INDEX)
        if not isinstance(index, dict) or index.get("format") != FORMAT:
            raise BadInput(f"{path / INDEX}: not the index of a prepared store")
        if index.get("version") != VERSION:
            raise BadInput(
                f"{path}: a prepared store of version {index.get('version')}, this program reads {VERSION}; "
                "prepare the cohort again"
            )
        try:
            folder = path / index["data"]
            arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ARRAYS}
            rows, name, recipe = index["scans"], str(index["name"]), index["recipe"]
            count = sum(int(row["slices"]) for row in rows)
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            raise BadInput(f"{path}: the store is incomplete ({error}); prepare the cohort again") from error
        if any(len(array) != count for array in arrays.values()):
            raise BadInput(f"{path}: the store's arrays do not match its index; prepare the cohort again")
        return cls(path=path, name=name, recipe=recipe_from(recipe, source=str(path)), scans=rows, **arrays)

    def __len__(self) -> int:
        """Number of slices."""
        return int(self.images.shape[0])

    @property
    def index(self) -> list[dict[str, Any]]:
        """The rows of `scans`."""
        return self.scans

    def select(
        self, *, split: str | Sequence[str] | None = None, label: str | None = None
    ) -> NDArray[np.int64]:
        """Indices of the slices whose scans are of one or several splits and of one label."""
        splits = (split,) if isinstance(split, str) else split
        kept = np.array(
            [
                (splits is None or row["split"] in splits) and (label is None or row["label"] == label)
                for row in self.scans
            ],
            dtype=bool,
        )
        return np.flatnonzero(kept[self.slice_scan]) if len(kept) else np.zeros(0, dtype=np.int64)

    def slices_of(self, scan: int) -> slice:
        """Where the slices of a scan lie in the arrays."""
        row = self.scans[scan]
        return slice(int(row["first"]), int(row["first"]) + int(row["slices"]))
