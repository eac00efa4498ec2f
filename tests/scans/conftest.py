"""Phantoms and small cohorts for the tests of scans."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from unlesion.errors import BadInput

SaveNifti = Callable[..., Path]


@pytest.fixture
def asymmetric() -> np.ndarray:
    """(18, 20, 22) float32 in R, A, S order; every voxel says where it is, so any flip or swap shows."""
    i, j, k = np.meshgrid(np.arange(18), np.arange(20), np.arange(22), indexing="ij")
    return (i + 100 * j + 10000 * k).astype(np.float32)


@pytest.fixture
def save_nifti(tmp_path: Path) -> SaveNifti:
    """Write an array as NIfTI and give its path."""

    def save(
        name: str, array: np.ndarray, affine: np.ndarray | None = None, kind: type = nib.Nifti1Image
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(kind(array, np.eye(4) if affine is None else affine), path)
        return path

    return save


@pytest.fixture
def save_picture(tmp_path: Path) -> Callable[..., Path]:
    """Write (rows, columns[, colours]) as a picture and give its path; without an array, some noise."""

    def save(name: str, array: np.ndarray | None = None, **options: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if array is None:
            array = np.random.default_rng(len(name)).integers(0, 255, (24, 20), dtype=np.uint8)
        Image.fromarray(array).save(path, **options)
        return path

    return save


@pytest.fixture
def save_manifest(tmp_path: Path) -> Callable[..., Path]:
    """Write rows (dicts) as `manifest.csv` and give its path."""

    def save(rows: Iterable[Mapping[str, str]], name: str = "manifest.csv") -> Path:
        rows = list(rows)
        path = tmp_path / name
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)))
            writer.writeheader()
            writer.writerows(rows)
        return path

    return save


@pytest.fixture
def refuses() -> Callable[..., str]:
    """Call something that must raise `BadInput`: one line that names the words given."""

    def check(call: Callable[[], Any], *words: object) -> str:
        with pytest.raises(BadInput) as caught:
            call()
        message = str(caught.value)
        assert "\n" not in message
        assert len(message) < 700
        for word in words:
            assert str(word) in message, message
        return message

    return check
