"""Trivial predictors: what a row or the outside of a picture says, without a look at the anomaly."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unlesion.doctor.examination import Seen
from unlesion.doctor.examinations.compression import jpeg_trace
from unlesion.doctor.sight import Sight
from unlesion.prepare import foreground
from unlesion.scans.formats import ending_of
from unlesion.seeds import seed_of

Floats = NDArray[np.float64]

# Measured on the image, by name; the words are what people read.
PIXELS = {
    "not square": "not_square",
    "height over width": "aspect",
    "number of pixels": "pixels",
    "flat borders (bars)": "bars",
    "share of background": "background",
    "brightness of the edge": "edge",
    "mean intensity of the object": "mean",
    "contrast": "contrast",
    "sharpness": "sharpness",
    "traces of JPEG": "jpeg",
    "pixel size": "pixel_mm",
    "slice thickness": "slice_mm",
}

# Columns of the manifest; sites and the like are turned into numbers, see `shares`.
NUMBERS = ("age",)
CATEGORIES = ("source", "site", "sex", "scanner")

# These predict by shares learnt from other subjects, which only ever err towards an AUROC below 0.5.
BY_SHARES = (*CATEGORIES, "modality", "position in eighths", "file format")

# Folds of subjects: what a category says of a subject is learnt from others.
FOLDS = 5


def measure(sight: Sight) -> dict[str, float]:
    """Everything in `PIXELS` that this image has; intensities are in parts of its own range where they need be."""
    image, grid = sight.image, sight.grid
    rows, columns = image.shape[:2]
    middle = image.shape[2] // 2
    plane = image[:, :, middle]
    # What is marked is the anomaly itself; the question is what the rest gives away.
    rest = np.ones(sight.coarse.shape, dtype=bool)
    plain = np.ones(plane.shape, dtype=bool)
    if sight.mask is not None and (sight.mask > 0).any():
        rest = foreground.block_mean((sight.mask > 0).astype(np.float32), list(sight.steps)) == 0
        plain = ~ndimage.binary_dilation(sight.mask[:, :, middle] > 0, iterations=2)
    # Volumes in the scanner's own units have no common scale, pictures have.
    scale = 1.0 if grid.family == "picture" else max(float(np.percentile(np.abs(sight.coarse), 99)), 1e-12)
    inside = sight.coarse[sight.object & rest]
    inside = inside if inside.size else sight.coarse[sight.object]
    edge = np.concatenate([plane[0], plane[-1], plane[:, 0], plane[:, -1]])
    out = {
        "not_square": float(rows != columns),
        "aspect": rows / columns,
        "pixels": float(image.size),
        "bars": 1.0 - float(foreground.without_borders(plane[:, :, None]).mean()),
        "background": 1.0 - float(sight.object.mean()),
        "edge": float(edge.mean()) / scale,
        "mean": float(inside.mean()) / scale,
        "contrast": float(inside.std()) / max(abs(float(inside.mean())), 1e-12),
        "sharpness": _sharpness(plane, plain),
    }
    if grid.is_flat and grid.family == "picture":
        out["jpeg"] = jpeg_trace(plane)
    if grid.spacing_known:
        out["pixel_mm"] = float(np.sqrt(grid.spacing[0] * grid.spacing[1]))
        if not grid.is_flat:
            out["slice_mm"] = grid.spacing[2]
    return out


def predictors(rows: Sequence[Seen], measured: Sequence[dict[str, float]]) -> dict[str, Floats]:
    """By name, a number per row, NaN where it is not known; those that are the same for all are left out."""
    anomalous = np.asarray([one.entry.label == "anomalous" for one in rows])
    subjects = [one.entry.subject for one in rows]
    positions = [one.entry.position for one in rows]
    out: dict[str, Floats] = {
        "position": np.asarray(
            [np.nan if height is None else height for height in positions], dtype=np.float64
        )
    }
    for words, name in PIXELS.items():
        out[words] = np.asarray([facts.get(name, np.nan) for facts in measured], dtype=np.float64)
    for column in NUMBERS:
        out[column] = np.asarray([_number(one.entry.columns.get(column, "")) for one in rows])
    named: dict[str, list[str]] = {
        column: [one.entry.columns.get(column, "") for one in rows] for column in CATEGORIES
    }
    # Lesions lie in the middle of the head more often than at either end, which no ranking shows.
    named["position in eighths"] = [
        "" if height is None else f"{min(7, int(8 * float(height)))}" for height in positions
    ]
    named["file format"] = [ending_of(one.entry.paths[0].name) or "folder" for one in rows]
    for name, values in named.items():
        known = np.asarray([bool(value) for value in values])
        if len({value for value in values if value}) > 1:
            out[name] = np.full(len(rows), np.nan)
            picked = np.flatnonzero(known).tolist()
            out[name][known] = shares(
                [values[i] for i in picked], anomalous[known], [subjects[i] for i in picked]
            )
    return {name: values for name, values in out.items() if _tells(values, anomalous)}


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _tells(values: Floats, anomalous: NDArray[np.bool_]) -> bool:
    """Whether a predictor is known of images of both kinds, and not the same for all of them."""
    known = np.isfinite(values)
    both = bool(known[anomalous].any() and known[~anomalous].any())
    return both and float(np.ptp(values[known])) > 0


def shares(values: Sequence[str], anomalous: NDArray[np.bool_], subjects: Sequence[str]) -> Floats:
    """For each row, how many of the rows with its value are anomalous, among subjects of other folds.

    A value that no other fold has says nothing: its rows get the share of all rows.
    """
    folds = np.asarray([seed_of("fold", subject) % FOLDS for subject in subjects])
    out = np.empty(len(values), dtype=np.float64)
    # The same for all: the share among the other folds would be low just where this fold's is high.
    overall = float(anomalous.mean())
    for fold in range(FOLDS):
        there = folds == fold
        hits: defaultdict[str, float] = defaultdict(float)
        counts: Counter[str] = Counter()
        for value, sick, held in zip(values, anomalous, there, strict=True):
            if not held:
                hits[value] += float(sick)
                counts[value] += 1
        for index in np.flatnonzero(there).tolist():
            value = values[index]
            out[index] = hits[value] / counts[value] if counts[value] else overall
    return out


def _sharpness(plane: NDArray[Any], plain: NDArray[np.bool_]) -> float:
    """Mean step between neighbouring pixels beside that between pixels four apart; low where blurred."""
    means = []
    for apart in (1, 4):
        steps = np.abs(plane[:, apart:] - plane[:, :-apart])
        both = plain[:, apart:] & plain[:, :-apart]
        means.append(float(steps[both].mean()) if both.any() else 0.0)
    return means[0] / max(means[1], 1e-12)
