"""Small cohorts of pictures, quick to make and to learn."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image

FIELDS = (
    "path",
    "mask_path",
    "subject",
    "scan",
    "position",
    "modality",
    "label",
    "pathology",
    "split",
    "group",
)


def draw_head(
    rng: np.random.Generator, *, size: int = 48, lesion: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """A grey ellipse with two darker ventricles, 8 bit; with a bright blob and its mask if asked for."""
    rows, columns = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    inside = (rows / 0.85) ** 2 + (columns / 0.7) ** 2 < 1
    image = np.where(inside, 120.0, 0.0)
    for side in (-1, 1):
        centre = 0.2 * side + rng.normal(0, 0.02)
        image[((rows - 0.05) / 0.35) ** 2 + ((columns - centre) / 0.1) ** 2 < 1] = 50
    mask = np.zeros_like(inside)
    if lesion:
        row, column = rng.uniform(-0.35, 0.35, 2)
        mask = (rows - row) ** 2 + (columns - column) ** 2 < 0.18**2
        image[mask] = 230
    image += np.where(inside, rng.normal(0, 6, image.shape), 0)
    return np.clip(image, 0, 255).astype(np.uint8), mask


def draw_chest(rng: np.random.Generator, *, size: int = 56) -> np.ndarray:
    """Two dark lungs in a bright body that fills the picture, inside black borders; 8 bit."""
    rows, columns = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    image = np.full((size, size), 190.0)
    for side in (-1, 1):
        image[(rows / 0.7) ** 2 + ((columns - 0.45 * side) / 0.3) ** 2 < 1 + rng.normal(0, 0.05)] = 60
    image += rng.normal(0, 5, image.shape)
    image[:, :4] = image[:, -4:] = 0
    return np.clip(image, 0, 255).astype(np.uint8)


def write_pictures(
    folder: Path,
    *,
    train: int = 8,
    val: int = 4,
    healthy: int = 3,
    anomalous: int = 3,
    split: bool = True,
    modalities: tuple[str, ...] = ("T1",),
) -> Path:
    """Write PNGs and a manifest; one subject a picture; its path.

    The first modality's files are called after the subject ("s00.png"), others also after themselves
    ("s00_T2.png"), and are darker.
    """
    rng = np.random.default_rng(0)
    rows = []
    plan = [("train", False)] * train + [("val", False)] * val
    plan += [("test", False)] * healthy + [("test", True)] * anomalous
    folder.mkdir(parents=True, exist_ok=True)
    for number, (part, lesion) in enumerate(plan):
        image, mask = draw_head(rng, lesion=lesion)
        name = f"s{number:02d}"
        if lesion:
            Image.fromarray((mask * 255).astype(np.uint8)).save(folder / f"{name}_mask.png")
        row = {
            "mask_path": f"{name}_mask.png" if lesion else "",
            "subject": name,
            "scan": name,
            "position": "0.5",
            "label": "anomalous" if lesion else "healthy",
            "pathology": "blob" if lesion else "none",
            "group": "a" if number % 2 else "b",
        }
        for index, modality in enumerate(modalities):
            path = f"{name}_{modality}.png" if index else f"{name}.png"
            Image.fromarray((image * (1 - 0.2 * index)).astype(np.uint8)).save(folder / path)
            whole = {"path": path, "modality": modality, **row}
            rows.append({**whole, "split": part} if split else whole)
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [f for f in FIELDS if split or f != "split"])
        writer.writeheader()
        writer.writerows(rows)
    return folder / "manifest.csv"
