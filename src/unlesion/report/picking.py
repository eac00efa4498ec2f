"""Picking the cases of a gallery while scans stream by; never more than a few are kept."""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlesion.evaluation.scan import EvaluatedScan
from unlesion.modality import condition_name
from unlesion.report.cutting import cut_case, window_of
from unlesion.report.gallery import Gallery, GalleryCase, Kind, as_kind
from unlesion.report.numbers import percent
from unlesion.report.slices import choose_slice
from unlesion.report.words import p_short
from unlesion.scoring import PostConfig, remove_small

# In which cases are chosen.
ORDER: tuple[Kind, ...] = ("best", "lesion", "miss", "false_alarm", "healthy")

# How many randomly drawn cases stand by, so that those nearest the median can be shown.
POOL = 16


class GalleryBuilder:
    """Takes scans one at a time and keeps the slices worth looking at.

    Best found, missed most, most false alarms; and for an honest view of the rest, lesions and healthy
    scans nearest the median of a random draw. No subject appears twice under one heading.

    Args:
        threshold: of the map, which 1 % of healthy voxels exceed; None without calibration: then colours
            are fixed by the 99th percentile of the first scan's map.
        by_modality: the same for modalities that have their own, by `condition_name`.
        post: which components are too small to count as found; None: none is.
        each: cases per heading.
        seed: of the random draw, which depends on the scans' names alone, not on their order.
    """

    def __init__(
        self,
        *,
        threshold: float | None,
        by_modality: Mapping[str, float] | None = None,
        post: PostConfig | None = None,
        each: int = 4,
        seed: int = 0,
    ) -> None:
        self.calibrated = threshold is not None and threshold > 0
        self.threshold = float(threshold) if threshold is not None and threshold > 0 else None
        self.by_modality = dict(by_modality or {})
        self.post = post
        self.each, self.seed = each, seed
        self._top: dict[Kind, _Top] = {
            "best": _Top(each),
            "miss": _Top(each),
            "false_alarm": _Top(each),
            "lesion": _Top(POOL),
            "healthy": _Top(POOL),
        }
        # Scans in which nobody marked a lesion are ranked by their scores, which do not compare with Dice.
        self._unmarked: dict[Kind, _Top] = {"best": _Top(each), "miss": _Top(each), "lesion": _Top(POOL)}
        self._quality: dict[Kind, list[float]] = {"lesion": [], "healthy": []}
        self._scores: list[float] = []
        self._told = False

    def add(
        self,
        *,
        key: str,
        label: str,
        image: NDArray[np.floating],
        anomaly: NDArray[np.floating],
        roi: NDArray[np.bool_],
        window: tuple[float, float],
        healthy: NDArray[np.floating] | None = None,
        lesions: NDArray[np.bool_] | None = None,
        found: NDArray[np.bool_] | None = None,
        subject: str = "",
        pathology: str = "",
        score: float | None = None,
        p_value: float | None = None,
        dice: float | None = None,
        spacing: Sequence[float] = (1.0, 1.0, 1.0),
        sides: tuple[str, str] | None = None,
        modality: Sequence[str] = (),
    ) -> None:
        """Look at a scan.

        Args:
            key: name of the scan.
            label: "healthy" or "anomalous".
            image: (rows, columns, slices), or (channels, rows, columns, slices): the first one is shown.
            anomaly: (rows, columns, slices), the map.
            roi: like it, the region that counts.
            window: image values drawn black and white; the recipe's intensity normalisation gives them
                (`offset`, `offset + scale`), so that they do not depend on this image's own lesions.
            healthy: like `image`, or None.
            lesions: like `anomaly`, annotated; None where nobody marked them.
            found: like `anomaly`, what was found; by default the map above the threshold.
            subject: who it is from.
            pathology: printed.
            score: of the scan; printed.
            p_value: of the scan; printed.
            dice: as measured, printed and ranked by; by default of `found`.
            spacing: mm along rows, columns, slices.
            sides: of the patient at the left and right edge of a slice; None unknown.
            modality: one name per channel.
        """
        if self.threshold is None:
            inside = anomaly[roi] if roi.any() else anomaly
            top = float(np.percentile(inside, 99))
            self.threshold = top if top > 0 else 1.0
        threshold = self.by_modality.get(condition_name(modality), self.threshold)
        if found is None:
            found = (anomaly > threshold) & roi
        anomalous = label != "healthy"
        numbers = _Numbers.of(found, lesions if anomalous else np.zeros_like(found), roi)
        if dice is not None:
            numbers = replace(numbers, dice=dice)
        who = subject or key
        marked = lesions is not None and (not anomalous or bool(lesions.any()))
        facts = self._facts(numbers, anomalous, marked, pathology, score, p_value)

        def draw(kind: Kind) -> GalleryCase:
            return cut_case(
                key=key,
                kind=kind,
                at=_slice_for(kind, anomaly, roi, lesions, found),
                image=image,
                healthy=healthy,
                anomaly=anomaly,
                roi=roi,
                lesions=lesions if marked else None,
                found=found,
                window=window,
                threshold=threshold,
                spacing=spacing,
                sides=sides,
                modality=modality,
                facts=facts,
            )

        chance = self._chance(key)
        if not anomalous:
            self._quality["healthy"].append(numbers.false_share)
            self._offer("healthy", chance, numbers.false_share, who, draw)
            self._offer("false_alarm", numbers.false_share, numbers.false_share, who, draw)
        elif lesions is not None and lesions.any():
            self._quality["lesion"].append(numbers.dice)
            self._offer("lesion", chance, numbers.dice, who, draw)
            self._offer("best", numbers.dice, numbers.dice, who, draw)
            # The most lesion left unseen: a large one half seen weighs less than one not seen at all.
            self._offer("miss", numbers.missed * (1.0 - numbers.recall), numbers.dice, who, draw)
            self._offer("false_alarm", numbers.false_share, numbers.false_share, who, draw)
        elif score is not None:
            self._scores.append(score)
            ranks: dict[Kind, float] = {"lesion": chance, "best": score, "miss": -score}
            for kind, rank in ranks.items():
                self._offer(kind, rank, score, who, draw, tops=self._unmarked)

    def look(self, scan: EvaluatedScan, row: Mapping[str, Any] | None = None) -> None:
        """Look at a scan of an evaluation; one without its image is passed over.

        Args:
            scan: as measured, on its own grid.
            row: its row of `scans.csv`, for the score and the p-value.
        """
        if scan.image is None or "native" not in scan.maps:
            return
        anomaly, _, score = scan.maps["native"]
        score = score if row is None else row.get("score", score)
        threshold = self.by_modality.get(condition_name(scan.modality), self.threshold)
        found = None
        if threshold is not None and self.post is not None:
            # What is outlined is what was measured.
            found, _ = remove_small(
                (anomaly > threshold) & scan.roi,
                spacing=scan.spacing,
                config=self.post,
                assumed_width_mm=scan.assumed_width_mm,
            )
        elif not self.calibrated:
            found = scan.predicted
            self._told |= found is not None
        self.add(
            key=scan.key,
            label=scan.label,
            image=scan.image,
            anomaly=anomaly,
            roi=scan.roi,
            window=window_of(scan),
            healthy=scan.healthy,
            lesions=scan.lesions,
            found=found,
            subject=scan.subject,
            pathology=scan.pathology,
            score=score,
            p_value=scan.p_value if row is None else row.get("p_value"),
            dice=None if row is None else row.get("dice"),
            spacing=scan.spacing or (1.0, 1.0, 1.0),
            sides=scan.sides,
            modality=scan.modality,
        )

    def finish(self) -> Gallery:
        """The cases: the extremes, and those nearest the median. Scans without marks only where no scan has any."""
        chosen: list[GalleryCase] = []
        tops, quality = self._top, self._quality
        if not quality["lesion"]:
            tops, quality = {**tops, **self._unmarked}, {**quality, "lesion": self._scores}
        for kind in ORDER:
            kept = tops[kind].kept
            if kind in quality and kept:
                middle = float(np.median(quality[kind]))
                kept = sorted(kept, key=lambda item: (abs(item.quality - middle), item.case.key))[: self.each]
                kept = sorted(kept, key=lambda item: item.case.key)
            chosen += [
                as_kind(item.case, kind)
                for item in kept
                if item.rank > 0 or kind not in ("best", "false_alarm")
            ]
        # A case is shown once: under the extreme it stands for rather than as a typical one.
        extremes = {case.key for case in chosen if case.kind in ("best", "miss", "false_alarm")}
        shown = [c for c in chosen if c.kind not in ("lesion", "healthy") or c.key not in extremes]
        misses = {case.key for case in shown if case.kind == "miss"}
        shown = [case for case in shown if case.kind != "best" or case.key not in misses]
        return Gallery(
            cases=tuple(shown),
            threshold=self.threshold or 1.0,
            calibrated=self.calibrated,
            apart=bool(self.by_modality),
            told=self._told,
        )

    def _offer(
        self,
        kind: Kind,
        rank: float,
        quality: float,
        subject: str,
        draw: Any,
        tops: Mapping[Kind, _Top] | None = None,
    ) -> None:
        top = (tops or self._top)[kind]
        if top.wants(rank, subject):
            top.put(_Kept(rank=rank, quality=quality, subject=subject, case=draw(kind)))

    def _chance(self, key: str) -> float:
        digest = hashlib.sha256(f"{self.seed} {key}".encode()).digest()
        return (int.from_bytes(digest[:8], "big") + 1) / 2**64

    def _facts(
        self,
        numbers: _Numbers,
        anomalous: bool,
        marked: bool,
        pathology: str,
        score: float | None,
        p_value: float | None,
    ) -> dict[str, str]:
        facts = {}
        if anomalous and pathology and pathology != "none":
            facts["finding"] = pathology
        # Without calibration there is no threshold that anything could be found at.
        if self.calibrated and anomalous and marked:
            facts["Dice"] = f"{numbers.dice:.2f}"
            facts["lesion found"] = percent(numbers.recall)
        if self.calibrated and (marked or not anomalous):
            name = "false alarms" if anomalous else "above threshold"
            facts[name] = f"{percent(numbers.false_share)} of roi"
        if score is not None:
            facts["score"] = f"{score:.3g}"
        if p_value is not None:
            facts["p"] = p_short(p_value)
        return facts


def _slice_for(
    kind: Kind,
    anomaly: NDArray[np.floating],
    roi: NDArray[np.bool_],
    lesions: NDArray[np.bool_] | None,
    found: NDArray[np.bool_],
) -> int:
    if kind == "false_alarm":
        # Not the lesion, but where most was found beside it, is what this heading is about.
        beside = found if lesions is None else found & ~lesions
        return int(np.argmax(beside.sum(axis=(0, 1))))
    return choose_slice(anomaly=anomaly, roi=roi, lesions=lesions)


@dataclass(frozen=True)
class _Numbers:
    """What decides whether a scan is shown; at the threshold, over the whole scan."""

    dice: float
    recall: float
    missed: int
    false_share: float

    @classmethod
    def of(
        cls, found: NDArray[np.bool_], lesions: NDArray[np.bool_] | None, roi: NDArray[np.bool_]
    ) -> _Numbers:
        truth = np.zeros_like(found) if lesions is None else lesions
        hit = int((found & truth & roi).sum())
        inside = int((truth & roi).sum())
        total = int((found & roi).sum()) + inside
        outside = int((roi & ~truth).sum())
        return cls(
            dice=2.0 * hit / total if total else 0.0,
            recall=hit / inside if inside else 0.0,
            missed=inside - hit,
            false_share=int((found & roi & ~truth).sum()) / outside if outside else 0.0,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Kept:
    rank: float
    quality: float
    subject: str
    case: GalleryCase


class _Top:
    """The highest ranks, one case per subject."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.kept: list[_Kept] = []

    def wants(self, rank: float, subject: str) -> bool:
        own = [item for item in self.kept if item.subject == subject]
        if own:
            return rank > own[0].rank
        return len(self.kept) < self.size or rank > self.kept[-1].rank

    def put(self, new: _Kept) -> None:
        self.kept = [item for item in self.kept if item.subject != new.subject]
        bisect.insort(self.kept, new, key=lambda item: -item.rank)
        del self.kept[self.size :]
