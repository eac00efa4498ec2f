"""BIDS datasets in the exact layout, small."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import nibabel as nib
import numpy as np

AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])


def describe(root: Path, *, name: str = "Test data", **more: object) -> Path:
    """Write `dataset_description.json`."""
    root.mkdir(parents=True, exist_ok=True)
    content = {"Name": name, "BIDSVersion": "1.10.0", **more}
    (root / "dataset_description.json").write_text(json.dumps(content))
    return root


def image(
    path: Path, *, seed: int = 0, shape: tuple[int, ...] = (18, 20, 16), affine: np.ndarray = AFFINE
) -> Path:
    """Write noise that is an image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).normal(100, 20, shape).astype(np.float32)
    nib.save(nib.Nifti1Image(values, affine), path)
    return path


def mask(
    path: Path, *, voxels: int = 8, shape: tuple[int, ...] = (18, 20, 16), affine: np.ndarray = AFFINE
) -> Path:
    """Write a mask that marks so many voxels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.zeros(shape, dtype=np.uint8)
    values.ravel()[:voxels] = 1
    nib.save(nib.Nifti1Image(values, affine), path)
    return path


def table(path: Path, rows: Iterable[Mapping[str, str]]) -> Path:
    """Write a table with tabs, as `participants.tsv` is."""
    rows = list(rows)
    lines = ["\t".join(rows[0]), *("\t".join(row.values()) for row in rows)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def participants(root: Path, **columns: list[str]) -> Path:
    """Write `participants.tsv` for sub-01, sub-02, ... by columns."""
    count = len(next(iter(columns.values())))
    rows = [
        {"participant_id": f"sub-{n + 1:02d}", **{name: values[n] for name, values in columns.items()}}
        for n in range(count)
    ]
    return table(root / "participants.tsv", rows)
