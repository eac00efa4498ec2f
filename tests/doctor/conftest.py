"""Cohorts with planted faults, and what the doctor finds in them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unlesion.doctor import Finding, examine_cohort

Findings = dict[str, Finding]


def draw(seed: int, *, size: int = 48, lesion: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """A head that looks different at its front: (rows, columns) uint8, and its lesion mask (uint8, 0 or 255)."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    inside = (rows / 0.85) ** 2 + (columns / (0.62 + 0.08 * rows)) ** 2 < 1
    image = np.where(inside, 120.0, 0.0)
    for side in (-1, 1):
        centre = 0.2 * side + rng.normal(0, 0.02)
        image[((rows + 0.3) / 0.3) ** 2 + ((columns - centre) / 0.1) ** 2 < 1] = 40
    image[((rows - 0.5) / 0.2) ** 2 + (columns / 0.3) ** 2 < 1] = 170 + rng.normal(0, 3)
    mask = np.zeros(image.shape, dtype=bool)
    if lesion:
        row, column = rng.uniform(-0.2, 0.2, 2)
        mask = (rows - row) ** 2 + (columns - column) ** 2 < 0.15**2
        image[mask] = 220
    image += np.where(inside, rng.normal(0, 6, image.shape), 0)
    return np.clip(image, 0, 255).astype(np.uint8), (mask * 255).astype(np.uint8)


@dataclass
class Planted:
    """A cohort of pictures that tests change: `rows` and the files in `folder`."""

    folder: Path
    rows: list[dict[str, str]] = field(default_factory=list)

    def save(self, name: str, pixels: np.ndarray, **options: Any) -> None:
        """Write a picture."""
        Image.fromarray(pixels).save(self.folder / name, **options)

    def add(self, name: str, pixels: np.ndarray, **values: str) -> dict[str, str]:
        """Write a picture and its row."""
        self.save(name, pixels)
        row = {
            "path": name,
            "subject": Path(name).stem,
            "modality": "T1",
            "label": "healthy",
            "split": "train",
        }
        self.rows.append(row | values)
        return self.rows[-1]

    def of(self, split: str, label: str = "healthy") -> list[dict[str, str]]:
        """Rows of a split and label."""
        return [row for row in self.rows if (row["split"], row["label"]) == (split, label)]

    def write(self) -> Path:
        """Write the manifest; its path."""
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        path = self.folder / "manifest.csv"
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, names, restval="")
            writer.writeheader()
            writer.writerows(self.rows)
        return path

    def examine(self, where: Sequence[str] = ()) -> Findings:
        """What the doctor finds, by code."""
        return findings_in(self.write(), where=where)


def findings_in(source: Path, **options: Any) -> Findings:
    """What the doctor finds, by code; no code is there twice with the same words."""
    found = examine_cohort(source, **options).findings
    assert len({(finding.code, finding.what) for finding in found}) == len(found)
    return {finding.code: finding for finding in found}


def plant(folder: Path, *, train: int = 8, val: int = 19, healthy: int = 6, anomalous: int = 6) -> Planted:
    """A cohort without faults."""
    cohort = Planted(folder)
    plan = [("train", False)] * train + [("val", False)] * val
    plan += [("test", False)] * healthy + [("test", True)] * anomalous
    for number, (split, lesion) in enumerate(plan):
        image, mask = draw(number, lesion=lesion)
        row = cohort.add(f"s{number:02d}.png", image, split=split, mask_path="", pathology="none")
        if lesion:
            cohort.save(f"s{number:02d}_mask.png", mask)
            row |= {"label": "anomalous", "pathology": "blob", "mask_path": f"s{number:02d}_mask.png"}
            cohort.rows[-1] = row
    return cohort


@pytest.fixture
def cohort(tmp_path: Path) -> Planted:
    """A cohort of pictures without faults."""
    return plant(tmp_path)


Examine = Callable[..., Findings]
