"""Files of virtual cohorts: NIfTI, manifest, and what a subject's folder was made with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlesion.files import write_table

# Raised whenever the same seed would give other voxels; subjects of another generator are made anew.
GENERATOR = 2

COLUMNS = ["path", "mask_path", "roi_path", "twin_path", "source", "subject", "scan", "position", "modality"]
COLUMNS += ["label", "pathology", "size_ml", "asked_ml", "split", "site", "age", "sex", "spacing_mm"]


def subject_name(number: int) -> str:
    """Of the folder and of the subject in the manifest."""
    return f"sub-{number:04d}"


def complete(folder: Path, settings: dict[str, Any], names: Sequence[str]) -> dict[str, Any] | None:
    """What `subject.json` says, if it was made with these settings and every file is there."""
    try:
        facts: dict[str, Any] = json.loads((folder / "subject.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(facts, dict) or any(facts.get(key) != value for key, value in settings.items()):
        return None
    return facts if all((folder / f"{name}.nii.gz").is_file() for name in names) else None


def manifest_row(number: int, facts: dict[str, Any], **more: str) -> dict[str, str]:
    """What the rows of one subject share, and what is told of this one: path, twin, scan, modality, site."""
    name = subject_name(number)
    sick = facts["pathology"] is not None
    asked = facts["asked_ml"]
    row = {
        "mask_path": f"{name}/mask.nii.gz" if sick else "",
        "roi_path": f"{name}/roi.nii.gz",
        "twin_path": "",
        "source": "phantom",
        "subject": name,
        "position": "",
        "label": "anomalous" if sick else "healthy",
        "pathology": facts["pathology"] or "none",
        "size_ml": f"{facts['size_ml']:.4g}" if sick else "",
        "asked_ml": "" if asked is None else f"{asked:.4g}",
        "split": facts["split"],
        "age": str(facts["age"]),
        "sex": facts["sex"],
        "spacing_mm": f"{facts['spacing_mm']:g}",
    }
    return row | more


def write_manifest(path: Path, rows: list[dict[str, str]]) -> Path:
    """Write the rows under `COLUMNS`."""
    write_table(path, COLUMNS, rows)
    return path


def write_nifti(path: Path, array: NDArray[Any], affine: NDArray[np.float64]) -> None:
    """Write compressed NIfTI, lightly compressed: the time goes there otherwise."""
    import gzip

    import nibabel

    image = nibabel.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    # No time stamp in the gzip header: the same seed gives the same bytes.
    with (
        path.open("wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=1, mtime=0) as file,
    ):
        file.write(image.to_bytes())
