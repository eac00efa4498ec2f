"""What `dal_acceptance.py` measures with: slices to ask about, discs, likeness, linear probes, intervals."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unlesion.batching import batches_of
from unlesion.detector import Detector
from unlesion.errors import BadInput
from unlesion.evaluation.bootstrap import Bootstrap
from unlesion.methods.batch import Batch
from unlesion.networks.overlap import grouped
from unlesion.networks.ssim import ssim_map
from unlesion.prepare import Recipe
from unlesion.scans import Cohort
from unlesion.sweep import sweep

Floats = NDArray[np.float64]
# Slices of a volume that are looked at: those with most roi.
SLICES = 4
# A disc differs from the median of what it covers by this at least.
CONTRAST = 0.25


def chosen(batch: Batch) -> Batch:
    """The slices with most roi."""
    size = batch.roi.flatten(1).sum(1)
    return batch.pick(size.argsort(descending=True)[:SLICES].sort().values)


def batches(run: Detector, cohort: Cohort, recipe: Recipe, *, most: int) -> tuple[list[Batch], list[str]]:
    """One batch a scan, and its subject."""
    found, subjects = [], []
    # Spread over the cohort, so that there are many subjects and, of slices, many heights.
    places = np.unique(np.linspace(0, len(cohort) - 1, min(most, len(cohort))).round().astype(int))
    entries = [cohort[int(place)] for place in places] if len(cohort) else []
    for swept in sweep(entries, recipe):
        if swept.prepared is None:
            print(swept.problem, file=sys.stderr)
            continue
        parts = [batch for _, batch in batches_of(swept.prepared, seed=run.seed)]
        if parts:
            biggest = max(parts, key=lambda part: int(part.roi.sum()))
            found.append(chosen(biggest))
            subjects.append(swept.entry.subject or swept.entry.key)
    if not found:
        raise BadInput(f"{cohort.name}: no healthy test scan to measure on; choose others with --where")
    return found, subjects


def one_channel(batch: Batch, channel: int) -> Batch:
    """A batch of one of its channels."""
    return replace(
        batch,
        images=batch.images[:, channel : channel + 1].clone(),
        modality=tuple((names[channel],) for names in batch.modality),
    )


def tissue_dice(first: Tensor, second: Tensor, *, tissues: int) -> Floats:
    """(tissues,) Dice of two anatomies (B, 1 + K, ...) over all their pixels; NaN where neither has any."""
    one, other = (grouped(anatomy[:, 1:], tissues).transpose(0, 1).flatten(1) for anatomy in (first, second))
    both, total = (one * other).sum(1), (one + other).sum(1)
    return np.where(total.numpy() > 0, (2 * both / total.clamp(min=1e-9)).numpy(), np.nan).astype(np.float64)


def similarity(first: Tensor, second: Tensor, roi: Tensor) -> float:
    """Mean SSIM inside the roi."""
    return float(ssim_map(first, second)[roi.expand_as(first)].mean())


def disc(batch: Batch, generator: torch.Generator) -> tuple[Batch, Tensor]:
    """A disc in every image, of a grey unlike the tissue beneath; where they are, (B, H, W)."""
    images, side = batch.images.clone(), batch.images.shape[-1]
    where = torch.zeros_like(batch.roi)
    axis = torch.arange(side)
    for row in range(len(batch)):
        places = batch.roi[row, 0].nonzero()
        centre = places[int(torch.randint(len(places), (), generator=generator))]
        radius = side * (0.04 + 0.06 * float(torch.rand((), generator=generator)))
        inside = (axis[:, None] - centre[0]) ** 2 + (axis[None] - centre[1]) ** 2 <= radius**2
        inside = inside & batch.roi[row, 0]
        beneath = float(images[row, 0][inside].median())
        greys = [grey for grey in np.linspace(0.1, 1.2, 12) if abs(grey - beneath) >= CONTRAST]
        images[row, :, inside] = greys[int(torch.randint(len(greys), (), generator=generator))]
        where[row, 0] = inside
    return replace(batch, images=images), where[:, 0]


def probes(
    codes: Floats, heights: Floats, names: Sequence[str], subjects: Sequence[str]
) -> tuple[float, float]:
    """R² of heights and accuracy of names read off codes, on subjects that were left out; NaN where there is one only."""
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.metrics import accuracy_score, r2_score
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    explained, right = float("nan"), float("nan")
    if len(set(subjects)) < 2:
        return explained, right
    folds = GroupKFold(min(5, len(set(subjects))))
    if np.ptp(heights) > 0:
        ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 3, 7)))
        guess = cross_val_predict(ridge, codes, heights, groups=subjects, cv=folds)
        explained = float(r2_score(heights, guess))
    if len(set(names)) > 1:
        logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        right = float(
            accuracy_score(names, cross_val_predict(logistic, codes, names, groups=subjects, cv=folds))
        )
    return explained, right


def with_ends(values: Sequence[float] | Floats, subjects: Sequence[str], *, sign: str = "") -> str:
    """Mean over scans, and its interval by bootstrap over subjects."""
    owner = np.unique(np.asarray(subjects), return_inverse=True)[1]
    sums, numbers = np.bincount(owner, weights=np.asarray(values)), np.bincount(owner)
    ends = Bootstrap().interval(lambda weights: (weights @ sums) / (weights @ numbers), len(sums))
    text = f"{float(np.mean(values)):{sign}.3f}"
    return text if ends is None else f"{text} [{ends[0]:{sign}.3f}, {ends[1]:{sign}.3f}]"
