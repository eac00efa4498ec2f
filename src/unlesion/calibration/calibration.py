"""Calibration: healthy scans to voxel thresholds and p-values, one unit per subject."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlesion.calibration.codes import N_CODES, ZERO_CODE, Counts, encode, threshold_below
from unlesion.errors import BadInput
from unlesion.modality import UNNAMED, condition_name, foreign
from unlesion.wording import count

RATES: Mapping[str, float] = {"fpr_0001": 0.001, "fpr_0005": 0.005, "fpr_001": 0.01, "fpr_005": 0.05}
"""The healthy false-positive rates that have a threshold, by name."""

# The shares whose thresholds are kept to tell how rare a value is: 20 a decade down to 1 in 100,000, and those above.
_SHARES = tuple(sorted({10.0 ** (-step / 20) for step in range(1, 101)} | set(RATES.values()), reverse=True))


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What healthy scans say about thresholds and about how unusual a scan score is.

    Subjects are the units: slices and repeated scans of one subject resemble each other.

    Attributes:
        thresholds: by name in `RATES`: the smallest threshold which at most that share of healthy voxels
            exceeds (mean over subjects of each subject's share inside the roi).
        scores: the scan scores, a group per subject. The subjects' names are not kept.
        n_scans: number of healthy scans.
        modalities: of the healthy scans, by `condition_name`, those without a name among them; empty where
            none had any, and in older runs.
        parts: where the healthy scans were of several modalities, what those of each say, by `condition_name`.
        exceeded: thresholds, rising, and the share of healthy voxels that exceeds each, falling to 0; empty in older runs.
    """

    thresholds: Mapping[str, float]
    scores: tuple[tuple[float, ...], ...]
    n_scans: int
    modalities: tuple[str, ...] = ()
    exceeded: tuple[tuple[float, float], ...] = ()
    parts: Mapping[str, Calibration] = field(default_factory=dict)

    def unlike(self, modality: Sequence[str]) -> str:
        """In words, that no healthy scan of this modality calibrated; "" if some did, or it is not known."""
        name = condition_name(modality)
        if not foreign((name,), self.modalities):
            return ""
        return (
            f"no healthy {name} scan calibrated this run, only {', '.join(self.modalities)}: thresholds and p-value do not "
            f"hold for it (calibrate on healthy {name} scans)"
        )

    def of(self, modality: Sequence[str]) -> Calibration:
        """What healthy scans of that modality say, where there were several; else what all say."""
        return self.parts.get(condition_name(modality), self)

    def drawn_at(self, rate: float) -> tuple[float, float] | None:
        """The threshold that pictures are scaled by, and its rate.

        That at `rate`, or, where so many healthy voxels are 0 that it is 0 itself, the next stricter one;
        None where all are 0.
        """
        for name, share in sorted(RATES.items(), key=lambda pair: -pair[1]):
            # What is nearer to 0 than the first code above it counts as 0.
            if share <= rate and self.thresholds[name] > threshold_below(ZERO_CODE + 1):
                return self.thresholds[name], share
        return None

    def rate_map(self, anomaly: NDArray[Any]) -> NDArray[np.float32]:
        """How rare each value of a map is in healthy scans: the strictest rate at which it would count as lesion.

        Args:
            anomaly: a map after post-processing, of any shape; what lies outside the roi means nothing.

        Returns:
            The same shape: at most this share of healthy voxels (the mean over subjects) is as high; 1 where nearly all are, 0 above
            the highest of them. In steps, 20 a decade down to 1e-5. It is at most a rate of `RATES` for just those voxels that
            exceed the threshold at that rate. Not corrected for the many voxels of a scan.

        Raises:
            BadInput: calibrated by an older version, which did not keep what this needs.
        """
        if not self.exceeded:
            raise BadInput(
                "the calibration is of an older version, which kept thresholds alone; use `unlesion calibrate` again"
            )
        if np.isnan(anomaly).any():
            raise ValueError("the map holds NaN")
        above, shares = (np.array(column) for column in zip(*self.exceeded, strict=True))
        steps = np.concatenate([[1.0], shares]).astype(np.float32)
        # Exceeding the k-th threshold, and no later one.
        return steps[np.searchsorted(above.astype(np.float32), np.asarray(anomaly, np.float32), side="left")]

    @property
    def n_subjects(self) -> int:
        """Number of healthy subjects."""
        return len(self.scores)

    @property
    def smallest_p(self) -> float:
        """The smallest p-value that so many subjects allow."""
        return 1.0 / (self.n_subjects + 1)

    def p_value(self, score: float) -> float:
        """Chance that a healthy subject's scan looks at least this unusual.

        p = (1 + sum over subjects of the share of their scans scoring >= score) / (subjects + 1).

        If the new scan is a healthy one of a new subject from the same population, P(p <= a) <= a for
        every a. Source: Lee, Barber, Willett, "Distribution-free inference with hierarchical data",
        2023 (hierarchical conformal prediction), with one scan of the new subject.

        Raises:
            ValueError: the score is not a number.
        """
        if math.isnan(score):
            raise ValueError("the scan score is not a number")
        shares = [sum(s >= score for s in group) / len(group) for group in self.scores]
        return (1.0 + math.fsum(shares)) / (self.n_subjects + 1)

    def score_threshold(self, alpha: float) -> float:
        """The scan score above which the p-value is at most `alpha`.

        Raises:
            BadInput: so few subjects allow no such p-value.
        """
        self.check_alpha(alpha)
        for score in sorted({s for group in self.scores for s in group}, reverse=True):
            if self.p_value(score) > alpha:
                return score
        return -math.inf

    def check_alpha(self, alpha: float) -> None:
        """Refuse an alpha that the number of healthy subjects cannot support.

        Raises:
            BadInput: in words, with what would help.
        """
        if not 0 < alpha < 1:
            raise BadInput(f"alpha {alpha:g}: must lie between 0 and 1, such as 0.05")
        if not self.supports(alpha):
            raise BadInput(self.why_not(alpha))

    def supports(self, alpha: float) -> bool:
        """Whether so many subjects allow a p-value as small as `alpha`."""
        # 1/20 and 0.05 must meet, whatever their last binary digit.
        return alpha >= self.smallest_p * (1 - 1e-9)

    def why_not(self, alpha: float) -> str:
        """In words: why no p-value can be as small as `alpha`, and what would help."""
        subjects = count(self.n_subjects, "healthy subject")
        digits = 1 - math.floor(math.log10(self.smallest_p))
        possible = math.ceil(self.smallest_p * 10**digits - 1e-9) / 10**digits
        needed = math.ceil(1 / alpha - 1e-9) - 1
        return (
            f"with {subjects} no p-value can be below 1/{self.n_subjects + 1} = {self.smallest_p:.3g}; "
            f"ask for --alpha {possible:g} or calibrate on at least {count(needed, 'subject')} for {alpha:g}"
        )

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "thresholds": dict(self.thresholds),
            "scores": [list(group) for group in self.scores],
            "n_subjects": self.n_subjects,
            "n_scans": self.n_scans,
            **({"modalities": list(self.modalities)} if self.modalities else {}),
            **({"exceeded": [list(pair) for pair in self.exceeded]} if self.exceeded else {}),
            **({"parts": {name: part.to_json() for name, part in self.parts.items()}} if self.parts else {}),
        }

    @classmethod
    def from_json(cls, saved: Any) -> Calibration:
        """From `to_json`.

        Raises:
            ValueError: it is something else.
        """
        try:
            scores = tuple(tuple(float(s) for s in group) for group in saved["scores"])
            thresholds = {name: float(saved["thresholds"][name]) for name in RATES}
            n_scans = int(saved["n_scans"])
            # Older runs have none.
            modalities = tuple(str(name) for name in saved.get("modalities", ()))
            parts = {str(name): cls.from_json(part) for name, part in saved.get("parts", {}).items()}
            exceeded = tuple((float(value), float(share)) for value, share in saved.get("exceeded", ()))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError("not a calibration") from error
        if not scores or not all(scores):
            raise ValueError("a calibration without healthy subjects")
        return cls(
            thresholds=thresholds,
            scores=scores,
            n_scans=n_scans,
            modalities=modalities,
            exceeded=exceeded,
            parts=parts,
        )


class CalibrationBuilder:
    """Takes in healthy scans one at a time; keeps counts of 16-bit codes, never a map.

    Memory: at most a few hundred kilobytes a subject, however many scans and voxels it has.
    """

    def __init__(self) -> None:
        # By modality, then by subject.
        self._counts: dict[str, dict[str, Counts]] = {}
        self._scores: dict[str, dict[str, list[float]]] = {}

    def add(
        self,
        subject: str,
        anomaly: NDArray[Any],
        roi: NDArray[np.bool_],
        score: float,
        *,
        modality: Sequence[str] = (),
    ) -> CalibrationBuilder:
        """Take in one healthy scan.

        Args:
            subject: who it is from.
            anomaly: the map, after post-processing, on the scan's own grid.
            roi: the same shape, the region that counts.
            score: the scan score.
            modality: of the scan, per channel; scans of several modalities are also counted apart.

        Raises:
            ValueError: shapes differ, or a value is not a number.
        """
        if anomaly.shape != roi.shape:
            raise ValueError(f"map of shape {anomaly.shape}, roi of shape {roi.shape}")
        if math.isnan(score):
            raise ValueError("the scan score is not a number")
        kind = condition_name(modality)
        counts = self._counts.setdefault(kind, {})
        _count(counts, subject, Counts.of(encode(anomaly[roi])))
        self._scores.setdefault(kind, {}).setdefault(subject, []).append(float(score))
        return self

    def finish(self) -> Calibration:
        """Thresholds and scores, of all scans and, where there are several modalities, of each.

        Raises:
            BadInput: there was no healthy scan, or none with any voxel in its roi.
        """
        counts: dict[str, Counts] = {}
        scores: dict[str, list[float]] = {}
        for kind, subjects in self._counts.items():
            for subject, own in subjects.items():
                _count(counts, subject, own)
                scores.setdefault(subject, []).extend(self._scores[kind][subject])
        kinds = tuple(sorted(kind or UNNAMED for kind in self._counts))
        named = any(kind.replace(UNNAMED, "").strip("+") for kind in kinds)
        whole = _calibration(counts, scores, kinds if named else ())
        if len(self._counts) < 2:
            return whole
        seen = {kind: own for kind, own in sorted(self._counts.items()) if any(c.total for c in own.values())}
        return replace(
            whole, parts={kind: _calibration(own, self._scores[kind], (kind,)) for kind, own in seen.items()}
        )


def _count(table: dict[str, Counts], subject: str, counts: Counts) -> None:
    known = table.get(subject)
    table[subject] = counts if known is None else Counts.sum((known, counts))


def _calibration(
    counts: Mapping[str, Counts], scores: Mapping[str, Sequence[float]], modalities: tuple[str, ...]
) -> Calibration:
    with_voxels = [own for own in counts.values() if own.total]
    if not with_voxels:
        raise BadInput(
            "no healthy scan with a region of interest to calibrate on; give healthy rows in split 'val' "
            "(see the columns label and split, and --where)"
        )
    return Calibration(
        thresholds=thresholds_of(with_voxels),
        exceeded=exceeded_of(with_voxels),
        scores=tuple(tuple(group) for group in scores.values()),
        n_scans=sum(len(group) for group in scores.values()),
        modalities=modalities,
    )


def thresholds_of(subjects: Sequence[Counts]) -> dict[str, float]:
    """Thresholds at `RATES` of the mean over subjects of each one's share of voxels above."""
    exceeded = _exceeded(subjects)
    return {name: threshold_below(_first(exceeded, rate)) for name, rate in RATES.items()}


def exceeded_of(subjects: Sequence[Counts]) -> tuple[tuple[float, float], ...]:
    """Thresholds and the shares that exceed them, as in `Calibration.exceeded`."""
    exceeded = _exceeded(subjects)
    beyond_all = int(np.flatnonzero(exceeded > 0)[-1]) + 1
    codes = sorted({*(_first(exceeded, share) for share in _SHARES), beyond_all})
    return tuple((threshold_below(code), float(exceeded[code])) for code in codes)


def _exceeded(subjects: Sequence[Counts]) -> NDArray[np.float64]:
    """(N_CODES + 1,): the mean share of voxels with at least that code; 0 beyond the last code."""
    share = np.zeros(N_CODES + 1)
    for counts in subjects:
        share[counts.codes] += counts.numbers / counts.total
    mean: NDArray[np.float64] = np.cumsum(share[::-1])[::-1] / len(subjects)
    return mean


def _first(exceeded: NDArray[np.float64], rate: float) -> int:
    """The first code that is reached rarely enough; shares fall with the code."""
    return int(np.argmax(exceeded <= rate + 1e-12))
