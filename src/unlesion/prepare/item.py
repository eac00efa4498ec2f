"""One prepared scan on disk, between being prepared and being gathered into the store."""

from __future__ import annotations

import hashlib
import json
import traceback
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlesion.archive import write_arrays
from unlesion.errors import BadInput, in_words
from unlesion.prepare.prepared import Prepared
from unlesion.prepare.recipe import Recipe
from unlesion.prepare.resample import to_prepared
from unlesion.prepare.stored import marks_lesion
from unlesion.scans.entry import Entry
from unlesion.scans.prints import state_of

# Goes up when the same recipe would prepare the same scan differently: older items are then redone.
VERSION = 1

# What an item knows beside its arrays; it stands in the rows of the index.
FACTS = (
    "spacing",
    "slice_mm",
    "placement",
    "scan_shape",
    "offset",
    "scale",
    "annotated",
    "marked",
    "warnings",
    "sha256",
)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A scan that could not be prepared.

    Attributes:
        key: which.
        message: why, in one line.
        ours: True where the fault is the program's, not the scan's.
        trace: the traceback of a fault of ours; it may come from another process.
    """

    key: str
    message: str
    ours: bool = False
    trace: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Item:
    """A prepared scan as it is stored.

    Attributes:
        images: (S, C, H, W) float16.
        roi: (S, H, W) uint8, 1 inside.
        lesions: (S, H, W) uint8, 1 where annotated lesions cover most of a pixel.
        positions: (S,) float32.
        facts: what else is known, as plain JSON, by the names in `FACTS`.
    """

    images: NDArray[np.float16]
    roi: NDArray[np.uint8]
    lesions: NDArray[np.uint8]
    positions: NDArray[np.float32]
    facts: dict[str, Any]


def fingerprint(entry: Entry, recipe: Recipe) -> str:
    """Changes with anything that changes the prepared pixels: recipe, files (by length and time), row."""
    files: list[list[Any]] = [list(state_of(path)) for path in entry.files]
    # The same file may turn from a mask into a roi.
    files.append(
        [len(entry.paths), entry.mask_path is not None, entry.roi_path is not None, len(entry.twin_paths)]
    )
    if entry.content:
        files.append([entry.content])
    row: list[Any] = [entry.key, entry.modality, entry.position, entry.spacing_mm, entry.volume]
    if entry.mask_values:
        row.append(entry.mask_values)
    content = json.dumps([VERSION, recipe.digest, row, files])
    return hashlib.sha256(content.encode()).hexdigest()[:24]


def make_item(entry: Entry, recipe: Recipe, path: Path) -> Failure | None:
    """Read and prepare one scan and write it to `path`; the work that is handed to the executor.

    Returns:
        None, or why the scan could not be prepared.

    Raises:
        BadInput: `path` cannot be written; no other scan could be either.
    """
    try:
        item = item_from(recipe.prepare(entry.read()))
    except Exception as error:  # One scan that trips over a fault of ours must not cost all the others.
        ours = not isinstance(error, BadInput)
        trace = traceback.format_exc() if ours else ""
        return Failure(key=entry.key, message=in_words(entry.key, error), ours=ours, trace=trace)
    write_item(path, item)
    return None


def item_from(prepared: Prepared) -> Item:
    """What is stored of a prepared scan."""
    lesions = np.zeros(prepared.roi.shape, dtype=np.uint8)
    scan = prepared.scan
    if scan is not None and scan.lesions is not None:
        marked = scan.lesions[None].astype(np.float32)
        covered, _ = to_prepared(marked, np.ones_like(scan.lesions), prepared.placement)
        lesions = (covered[0].transpose(2, 0, 1) >= 0.5).astype(np.uint8)
    arrays: dict[str, NDArray[Any]] = {
        "images": prepared.images.astype(np.float16),
        "roi": prepared.roi.astype(np.uint8),
        "lesions": lesions,
        "positions": prepared.positions.astype(np.float32),
    }
    facts = {
        "spacing": list(prepared.spacing),
        "slice_mm": prepared.slice_mm,
        "placement": prepared.placement.matrix.tolist(),
        "scan_shape": list(prepared.placement.scan_shape),
        "offset": list(prepared.intensity.offset),
        "scale": list(prepared.intensity.scale),
        "annotated": scan is not None and scan.lesions is not None,
        # Not of `lesions`, which no longer shows the smallest.
        "marked": scan is not None and marks_lesion(scan),
        "warnings": list(prepared.warnings),
    }
    return Item(**arrays, facts={**facts, "sha256": _sha256(arrays, facts)})


def _sha256(arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> str:
    """16 hex digits of the SHA-256 of all that somebody who reads the scan back from a store gets."""
    read_back = [facts[name] for name in ("spacing", "slice_mm", "annotated", "marked")]
    digest = hashlib.sha256(json.dumps(read_back).encode())
    for name, array in arrays.items():
        digest.update(f"{name} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


def write_item(path: Path, item: Item) -> None:
    """Write an item, whole or not at all."""
    write_arrays(
        path,
        {
            "images": item.images,
            "roi": item.roi,
            "lesions": item.lesions,
            "positions": item.positions,
            "facts": np.frombuffer(json.dumps(item.facts).encode(), dtype=np.uint8),
        },
    )


def read_item(path: Path) -> Item | None:
    """Read an item; None where there is none, where it is damaged (the archive has checksums), or lacks facts."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            item = Item(
                images=archive["images"],
                roi=archive["roi"],
                lesions=archive["lesions"],
                positions=archive["positions"],
                facts=json.loads(archive["facts"].tobytes()),
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return item if knows_all(item.facts) else None


def knows_all(facts: Mapping[str, Any]) -> bool:
    """Whether all facts are there; earlier versions wrote fewer."""
    return all(name in facts for name in FACTS)
