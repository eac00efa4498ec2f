"""Lesions: which annotated lesions were found, and which findings are lesions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unlesion.scoring import label_components

# A lesion is found if the prediction covers at least this share of it.
COVERED = 0.10


@dataclass(frozen=True, kw_only=True, eq=False)
class LesionCounts:
    """Counts of connected components (26 neighbours; 8 in a single slice).

    Attributes:
        lesions: annotated components.
        found: of these, covered by the prediction to at least 10 %.
        predicted: predicted components.
        true: of these, touching (sharing a voxel with) any lesion.
        sizes: voxels of every annotated component.
        hit: whether it was found.
    """

    lesions: int
    found: int
    predicted: int
    true: int
    sizes: NDArray[np.int64]
    hit: NDArray[np.bool_]

    def as_array(self) -> NDArray[np.int64]:
        """(4,): lesions, found, predicted, true."""
        return np.asarray([self.lesions, self.found, self.predicted, self.true], dtype=np.int64)


def match_lesions(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> LesionCounts:
    """Match components of two masks of one shape; none of them need be one-to-one."""
    squeezed = (slice(None), slice(None), 0) if truth.ndim == 3 and truth.shape[2] == 1 else ...
    true_labels, lesions = label_components(truth[squeezed])
    found_labels, findings = label_components(predicted[squeezed])
    size = np.bincount(true_labels.ravel(), minlength=lesions + 1)[1:]
    covered = np.bincount(true_labels[found_labels > 0], minlength=lesions + 1)[1:]
    touching = np.unique(found_labels[(true_labels > 0) & (found_labels > 0)])
    # A lesion of 10 voxels is found by 1: the comparison must not fail by a rounding.
    hit = covered >= COVERED * size - 1e-9
    return LesionCounts(
        lesions=lesions,
        found=int(hit.sum()),
        predicted=findings,
        true=len(touching),
        sizes=size,
        hit=hit,
    )


def lesion_scores(counts: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """recall, precision and F1 from (..., 4) sums of `LesionCounts.as_array`; NaN where undefined.

    F1 is the harmonic mean of recall and precision; 0 where lesions exist and nothing was predicted.
    """
    lesions, found, predicted, true = np.moveaxis(counts, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = found / lesions
        precision = true / predicted
        mean = 2 * recall * precision / (recall + precision)
    f1 = np.where((lesions > 0) & ((predicted == 0) | (recall + precision == 0)), 0.0, mean)
    return {"recall": recall, "precision": precision, "f1": np.where(lesions > 0, f1, np.nan)}
