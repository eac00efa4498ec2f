"""A prepared store as a cohort, for machines that have only the store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from unlesion.errors import BadInput
from unlesion.prepare.store import INDEX, PreparedStore
from unlesion.prepare.stored import StoredGeometry
from unlesion.scans.cohort import Cohort
from unlesion.scans.entry import Entry
from unlesion.scans.grid import Grid
from unlesion.scans.scan import Scan


@dataclass(frozen=True, kw_only=True)
class StoredEntry(Entry):
    """A scan of a prepared store; it reads back on the prepared grid, in prepared intensities.

    Attributes:
        store: the store's folder.
        number: the scan's row in it.
        marked: whether its own mask marks a lesion; None where an older store does not say.
        content: hash of what the store holds of it; "" in an older store.
        known_print: of the files that it was prepared from; "" in an older store.
    """

    store: Path = field(default=Path())
    number: int = 0
    marked: bool | None = None
    content: str = ""
    known_print: str = ""

    @property
    def files(self) -> tuple[Path, ...]:
        """None of its own: a store is the same data wherever it lies, and whenever it was made."""
        return ()

    def is_marked(self) -> bool:
        """Whether its own mask marks a lesion; in an older store, one that is seen at the store's resolution."""
        if self.marked is not None:
            return self.marked
        store = _open(self.store, (self.store / INDEX).stat().st_mtime_ns)
        return bool(store.lesions[store.slices_of(self.number)].any())

    def read(self) -> Scan:
        """The stored scan; `Recipe.prepare` with the store's recipe leaves it as it is.

        Raises:
            BadInput: the store is damaged.
        """
        store = _open(self.store, (self.store / INDEX).stat().st_mtime_ns)
        row, where = store.scans[self.number], store.slices_of(self.number)
        images = np.asarray(store.images[where], dtype=np.float32)
        slices, _, height, width = images.shape
        spacing = (*row["spacing"], row["slice_mm"] or 1.0)
        lesions = store.lesions[where].astype(bool).transpose(1, 2, 0) if row["annotated"] else None
        return Scan(
            voxels=np.ascontiguousarray(images.transpose(1, 2, 3, 0)),
            grid=Grid(
                shape=(height, width, slices),
                affine=_affine(spacing),
                spacing=spacing,
                spacing_known=True,
                family="numpy",
                file_shape=(height, width) if slices == 1 else (height, width, slices),
                header=StoredGeometry(
                    recipe=store.recipe.name,
                    digest=store.recipe.digest,
                    positions=tuple(store.positions[where].tolist()),
                    slice_mm=float(row["slice_mm"]),
                    marked=bool(self.marked),
                ),
            ),
            key=self.key,
            subject=self.subject,
            scan_id=self.scan_id,
            modality=self.modality,
            position=self.position,
            roi=np.ascontiguousarray(store.roi[where].astype(bool).transpose(1, 2, 0)),
            lesions=None if lesions is None else np.ascontiguousarray(lesions),
            warnings=tuple(row["warnings"]),
        )


def is_store(path: str | Path) -> bool:
    """Whether a path is a prepared store."""
    return (Path(path) / INDEX).is_file()


def on_prepared_grid(entries: Iterable[Entry]) -> str:
    """What a reader of results should know where scans come from a store; "" where none does."""
    if not any(isinstance(entry, StoredEntry) for entry in entries):
        return ""
    return (
        "scans come from a prepared store: results are on its grid and in its units, not the scans' own; there are no twins, and lesions "
        "that cover less than half a pixel of it are gone"
    )


def store_cohort(path: str | Path, *, where: Sequence[str] = ()) -> Cohort:
    """The scans of a prepared store as a cohort.

    Args:
        path: the store.
        where: conditions "column=a,b" (a or b), all of which must hold.

    Raises:
        BadInput: there is no store at `path`, it is damaged, or a condition leaves nothing.
    """
    store = PreparedStore.open(path)
    entries = tuple(_entry(store, number, row) for number, row in enumerate(store.scans))
    for condition in where:
        column, equals, values = condition.partition("=")
        known = sorted({name for entry in entries for name in entry.columns})
        if not equals or column not in known:
            raise BadInput(f"--where {condition}: write COLUMN=A,B with a column of {', '.join(known)}")
        wanted = {value.strip() for value in values.split(",")}
        entries = tuple(entry for entry in entries if entry.columns.get(column) in wanted)
        if not entries:
            raise BadInput(f"--where {condition}: no scan of {store.name} is left")
    return Cohort(root=store.path, entries=entries, name=store.name, volume=None)


def _entry(store: PreparedStore, number: int, row: dict[str, Any]) -> StoredEntry:
    return StoredEntry(
        key=row["key"],
        paths=(store.path / INDEX,),
        subject=row["subject"],
        scan_id=row["scan_id"],
        position=row["position"],
        modality=tuple(row["modality"]),
        label=row["label"],
        pathology=row["pathology"],
        split=row["split"],
        columns=row["columns"],
        store=store.path,
        number=number,
        marked=row.get("marked"),
        content=row.get("sha256", ""),
        known_print=row.get("print", ""),
    )


@lru_cache(maxsize=4)
def _open(path: Path, changed: int) -> PreparedStore:
    return PreparedStore.open(path)


def _affine(spacing: tuple[float, float, float]) -> np.ndarray[Any, Any]:
    """Canonical index (posterior, left, up) to world (right, anterior, up), origin at the first voxel."""
    return np.array(
        [
            [0.0, -spacing[1], 0.0, 0.0],
            [-spacing[0], 0.0, 0.0, 0.0],
            [0.0, 0.0, spacing[2], 0.0],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )
