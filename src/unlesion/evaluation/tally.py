"""Tally: everything that is counted for one scoring (native or shared) while scans go by."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlesion.calibration import RATES, Calibration
from unlesion.calibration.codes import Counts, encode
from unlesion.evaluation.bootstrap import Bootstrap, Statistic
from unlesion.evaluation.by_size import FoundBySize
from unlesion.evaluation.estimate import estimate, share, with_interval
from unlesion.evaluation.images import ImageScores, image_metrics
from unlesion.evaluation.lesions import lesion_scores, match_lesions
from unlesion.evaluation.metric import Metric, undefined
from unlesion.evaluation.ranking import auroc, average_precision, best_dice, dice_of
from unlesion.evaluation.scan import EvaluatedScan
from unlesion.evaluation.voxels import Grouped, VoxelCounts, ap_of, ranking_of
from unlesion.scoring import PostConfig, pool_map, remove_small

# The rate whose threshold makes the lesions that are counted one by one.
LESION_RATE = "fpr_001"

Row = dict[str, Any]

_NO_LESIONS = "no lesion voxels: no scan with annotated lesions inside the region of interest"


class Tally:
    """Counts of one scoring; additive over subjects, so that resampling subjects is cheap.

    Args:
        calibration: thresholds and p-values; None where there are none.
        post: decides which small components of binary lesions are dropped.
        alpha: a scan is flagged if its p-value is at most this, where the calibration supports it.
    """

    def __init__(self, *, calibration: Calibration | None, post: PostConfig, alpha: float) -> None:
        self.calibration = calibration
        self.post = post
        self.alpha = alpha
        self.voxels = VoxelCounts()
        self.raw = VoxelCounts()
        self.images = ImageScores()
        self.dice: dict[str, NDArray[np.int64]] = {}  # (4 rates, 3): TP, FP, FN
        self.lesions: dict[str, NDArray[np.int64]] = {}  # (4,): see LesionCounts
        self.by_size = FoundBySize()
        self._ap: dict[str, NDArray[np.float64]] = {}  # sum and number of the scans' AP
        self._healthy: dict[str, NDArray[np.int64]] = {}  # healthy scans: voxels above each threshold, all
        self._flagged: dict[str, dict[str, NDArray[np.float64]]] = {"healthy": {}, "anomalous": {}}
        self._alphas: set[float] = set()  # at which others flagged, where there is no calibration
        self._raw_missing = False

    @classmethod
    def sum(cls, parts: Sequence[Tally]) -> Tally:
        """Several tallies of one scoring together; at least one."""
        first = parts[0]
        out = cls(calibration=first.calibration, post=first.post, alpha=first.alpha)
        out.voxels = VoxelCounts.sum([part.voxels for part in parts])
        out.raw = VoxelCounts.sum([part.raw for part in parts])
        out.images = ImageScores.sum([part.images for part in parts])
        out.by_size = FoundBySize.sum([part.by_size for part in parts])
        for part in parts:
            add_up(out.dice, part.dice)
            add_up(out.lesions, part.lesions)
            add_up(out._ap, part._ap)
            add_up(out._healthy, part._healthy)
            for label, table in out._flagged.items():
                add_up(table, part._flagged[label])
        out._alphas = set().union(*(part._alphas for part in parts))
        out._raw_missing = any(part._raw_missing for part in parts)
        return out

    def add(self, scan: EvaluatedScan, name: str) -> Row:
        """Take in one scan; returns its columns of `scans.csv`."""
        anomaly, raw, score = scan.maps[name]
        roi, truth = scan.roi, scan.truth
        if score is None:
            score = pool_map(anomaly, roi)
        self.images.add(scan.subject, scan.scan_id, score, anomalous=scan.label == "anomalous")
        row: Row = {"score": score, **self._p_value(scan, name, score)}
        values = anomaly[roi]
        if truth is not None:
            inside = truth[roi]
            codes = encode(values)
            lesion, other = Counts.of(codes[inside]), Counts.of(codes[~inside])
            self.voxels.add(scan.subject, lesion, other)
            row["ap"] = ap_of(lesion, other)
            if row["ap"] is not None and scan.label == "anomalous":
                add_up(self._ap, {scan.subject: np.asarray([row["ap"], 1.0])})
            if raw is None:
                self._raw_missing = True
            else:
                raw_codes = encode(raw[roi])
                self.raw.add(scan.subject, Counts.of(raw_codes[inside]), Counts.of(raw_codes[~inside]))
        if self.calibration is not None:
            thresholds = self.calibration.of(scan.modality).thresholds
            row.update(self._at_thresholds(scan, anomaly, values, thresholds))
        elif scan.predicted is not None and name == "native":
            row.update(self._at_lesions(scan, scan.predicted & roi))
        return row

    def metrics(self, bootstrap: Bootstrap) -> dict[str, Any]:
        """All metrics of this scoring, nested."""
        return {
            "voxel": self._voxel_metrics(bootstrap),
            "image": {
                **image_metrics(self.images.table(), bootstrap),
                "flagged": self._flagged_metrics(bootstrap, ("healthy", "anomalous")),
            },
            "lesion": self._lesion_metrics(bootstrap),
            "realised_fpr": self._realised(bootstrap, tuple(RATES)),
        }

    def brief(self, bootstrap: Bootstrap, *, examinations: ImageScores, healthy: bool) -> dict[str, Any]:
        """The metrics of a group of scans, fewer than `metrics` has.

        Args:
            bootstrap: how intervals are made.
            examinations: what the group's image AUROC is between.
            healthy: whether healthy scans belong to the group.
        """
        table = examinations.table()
        return {
            "voxel": {
                **self._ranking_metrics(bootstrap, ("ap", "auroc", "dice_oracle")),
                "ap_scan": self._ap_scan(bootstrap),
                "prevalence": self._prevalence(bootstrap),
                "dice_at_fpr": self._dice_metrics(bootstrap, (LESION_RATE,)),
            },
            "image": {
                "auroc": image_metrics(table, bootstrap, only=("auroc",))["auroc"].with_extra(
                    examinations={
                        "anomalous": int(table.anomalous.sum()),
                        "healthy": int((~table.anomalous).sum()),
                    }
                ),
                "flagged": self._flagged_metrics(
                    bootstrap, ("healthy", "anomalous") if healthy else ("anomalous",)
                ),
            },
            "lesion": self._lesion_metrics(bootstrap),
            **({"realised_fpr": self._realised(bootstrap, (LESION_RATE,))} if healthy else {}),
        }

    def ap(self, bootstrap: Bootstrap) -> Metric:
        """Pooled voxel AP."""
        return self._ranking_metrics(bootstrap, ("ap",))["ap"]

    def _p_value(self, scan: EvaluatedScan, name: str, score: float) -> Row:
        p_value: float | None = None
        flagged: bool | None = None
        if self.calibration is not None:
            calibration = self.calibration.of(scan.modality)
            p_value = calibration.p_value(score)
            flagged = p_value <= self.alpha if self._supports(calibration) else None
        elif name == "native":
            # Without healthy scans nothing can be flagged here: only what others said is repeated.
            p_value, flagged = scan.p_value, scan.flagged
            self._alphas |= set() if flagged is None or scan.alpha is None else {scan.alpha}
        if flagged is not None:
            add_up(self._flagged[scan.label], {scan.subject: np.asarray([float(flagged), 1.0])})
        return {"p_value": p_value, "flagged": flagged}

    def _at_thresholds(
        self,
        scan: EvaluatedScan,
        anomaly: NDArray[np.float32],
        values: NDArray[np.float32],
        thresholds: Mapping[str, float],
    ) -> Row:
        """Everything that needs a threshold; the binary lesions are those that `detect` writes."""
        truth, row, counts = scan.truth, Row(), []
        if scan.label == "healthy":
            above = [int((values > thresholds[rate]).sum()) for rate in RATES]
            add_up(self._healthy, {scan.subject: np.asarray([*above, values.size])})
        for rate in RATES:
            predicted, _ = remove_small(
                (anomaly > thresholds[rate]) & scan.roi,
                spacing=scan.spacing,
                config=self.post,
                assumed_width_mm=scan.assumed_width_mm,
            )
            if truth is not None:
                hits, marked = int((predicted & truth).sum()), int(truth.sum())
                counts.append([hits, int(predicted.sum()) - hits, marked - hits])
            if rate == LESION_RATE:
                row = self._at_lesions(scan, predicted)
                if truth is not None:
                    outside = scan.roi & ~truth
                    row["fpr"] = (
                        float((anomaly[outside] > thresholds[rate]).mean()) if outside.any() else None
                    )
        if counts:
            add_up(self.dice, {scan.subject: np.asarray(counts)})
        return row

    def _at_lesions(self, scan: EvaluatedScan, predicted: NDArray[np.bool_]) -> Row:
        """Counts of lesions, and the columns about one binary prediction."""
        truth, size = scan.truth, int(predicted.sum())
        row: Row = {
            "predicted_voxels": size,
            "predicted_ml": None if scan.voxel_ml is None else size * scan.voxel_ml,
            **({} if scan.pixel_mm2 is None else {"predicted_mm2": size * scan.pixel_mm2}),
        }
        if truth is not None:
            hits, marked = int((predicted & truth).sum()), int(truth.sum())
            # Without a lesion any finding is a false alarm, which Dice cannot express; see "fpr".
            row["dice"] = 2.0 * hits / (size + marked) if marked else None
            matched = match_lesions(truth, predicted)
            add_up(self.lesions, {scan.subject: matched.as_array()})
            self.by_size.add(scan.subject, matched, scan.voxel_ml)
            row["lesions"], row["lesions_found"] = matched.lesions, matched.found
        return row

    def _flagged_metrics(self, bootstrap: Bootstrap, labels: Sequence[str]) -> dict[str, Metric]:
        if len(self._alphas) > 1:
            several = ", ".join(f"{alpha:g}" for alpha in sorted(self._alphas))
            return dict.fromkeys(labels, undefined(f"the scans were flagged at different alphas: {several}"))
        given = next(iter(self._alphas), None)
        alpha = self.alpha if self.calibration is not None else given
        return {
            label: estimate(
                self._flagged[label],
                share,
                bootstrap,
                why=self._why_not_flagged(label),
                extra={} if alpha is None else {"alpha": alpha},
            )
            for label in labels
        }

    def _realised(self, bootstrap: Bootstrap, rates: Collection[str]) -> dict[str, Metric]:
        return {
            rate: estimate(
                {s: [v[i] / v[-1], 1.0] for s, v in self._healthy.items() if v[-1]},
                share,
                bootstrap,
                why="no thresholds" if self.calibration is None else "no healthy scans",
                extra={"intended": intended},
            )
            for i, (rate, intended) in enumerate(RATES.items())
            if rate in rates
        }

    def _voxel_metrics(self, bootstrap: Bootstrap) -> dict[str, Any]:
        return {
            **self._ranking_metrics(bootstrap, ("ap", "auroc", "dice_oracle")),
            "ap_raw": self._raw_ap(bootstrap),
            "ap_scan": self._ap_scan(bootstrap),
            "prevalence": self._prevalence(bootstrap),
            "dice_at_fpr": self._dice_metrics(bootstrap, tuple(RATES)),
        }

    def _dice_metrics(self, bootstrap: Bootstrap, rates: Collection[str]) -> dict[str, Metric]:
        carriers = self.voxels.with_lesions
        why = "no thresholds: no calibration on healthy scans" if self.calibration is None else _NO_LESIONS
        return {
            rate: estimate(
                {subject: counts[index] for subject, counts in self.dice.items()},
                lambda sums: dice_of(sums[..., 0], sums[..., 1], sums[..., 2]),
                bootstrap,
                carriers=carriers,
                why=why,
            )
            if carriers
            else undefined(_NO_LESIONS)
            for index, rate in enumerate(RATES)
            if rate in rates
        }

    def _ranking_metrics(self, bootstrap: Bootstrap, names: Sequence[str]) -> dict[str, Metric]:
        exact, carriers, subjects = ranking_of(self.voxels), self.voxels.with_lesions, self.voxels.subjects
        grouped = self.voxels.grouped()
        out: dict[str, Metric] = {}
        for name in names:
            function = _RANKINGS[name]
            # Groups of codes are a little coarser than codes; the interval is moved by the difference.
            shift = exact[name] - float(function(grouped.lesion.sum(0), grouped.other.sum(0)))
            shift = shift if math.isfinite(shift) else 0.0
            value, statistic = exact[name], _ranking_statistic(function, grouped, shift)
            if name == "dice_oracle" and self.dice and carriers:
                # Dropping small components can lift a calibrated Dice above that of any bare threshold.
                calibrated = self._best_calibrated_dice(subjects)
                value = max(value, float(calibrated(np.ones((1, len(subjects))))[0]))
                statistic = _larger(statistic, calibrated)
            out[name] = with_interval(
                value, statistic, bootstrap, subjects=len(subjects), carriers=carriers, why=_NO_LESIONS
            )
        return out

    def _ap_scan(self, bootstrap: Bootstrap) -> Metric:
        return estimate(self._ap, share, bootstrap, why=_NO_LESIONS)

    def _prevalence(self, bootstrap: Bootstrap) -> Metric:
        lesion, other = self.voxels.lesion, self.voxels.other
        return estimate(
            {s: [lesion[s].total, lesion[s].total + other[s].total] for s in self.voxels.subjects},
            share,
            bootstrap,
            why="no voxels with a known truth",
        )

    def _raw_ap(self, bootstrap: Bootstrap) -> Metric:
        if self._raw_missing:
            return undefined("the maps came without their state before post-processing")
        value, grouped = ranking_of(self.raw)["ap"], self.raw.grouped()
        shift = value - float(average_precision(grouped.lesion.sum(0), grouped.other.sum(0)))
        return with_interval(
            value,
            _ranking_statistic(average_precision, grouped, shift if math.isfinite(shift) else 0.0),
            bootstrap,
            subjects=len(self.raw.subjects),
            carriers=self.raw.with_lesions,
            why=_NO_LESIONS,
        )

    def _best_calibrated_dice(self, subjects: list[str]) -> Statistic:
        nothing = np.zeros((len(RATES), 3), dtype=np.int64)
        counts = np.asarray([self.dice.get(s, nothing) for s in subjects], dtype=np.float64)

        def best(weights: NDArray[np.float64]) -> NDArray[np.float64]:
            sums = np.einsum("rk,ktc->rtc", weights, counts)
            dice: NDArray[np.float64] = dice_of(sums[..., 0], sums[..., 1], sums[..., 2]).max(axis=1)
            return dice

        return best

    def _lesion_metrics(self, bootstrap: Bootstrap) -> dict[str, Any]:
        why = {
            "f1": "no annotated lesions",
            "recall": "no annotated lesions",
            "precision": "nothing was predicted",
        }
        if self.calibration is None and not self.lesions:
            why = dict.fromkeys(why, "no thresholds: no calibration on healthy scans")
        carriers = sum(counts[0] > 0 for counts in self.lesions.values())
        if self.lesions and not carriers:
            return {name: undefined("no annotated lesions") for name in why} | {"recall_by_size": {}}
        alike = {
            name: estimate(
                self.lesions,
                lambda sums, name=name: lesion_scores(sums)[name],  # type: ignore[misc]
                bootstrap,
                carriers=carriers,
                why=why[name],
            )
            for name in why
        }
        return {**alike, "recall_by_size": self.by_size.metrics(bootstrap)}

    def _why_not_flagged(self, label: str) -> str:
        if self.calibration is None:
            said = any(self._flagged.values())
            return (
                f"no {label} scans"
                if said
                else "nothing says which scans to flag: no calibration on healthy scans"
            )
        parts = [*self.calibration.parts.values()] or [self.calibration]
        lacking = [part for part in parts if not self._supports(part)]
        return f"no {label} scans" if len(lacking) < len(parts) else lacking[0].why_not(self.alpha)

    def _supports(self, calibration: Calibration) -> bool:
        return calibration.smallest_p <= self.alpha * (1 + 1e-9)


_RANKINGS: Mapping[str, Callable[[NDArray[Any], NDArray[Any]], NDArray[np.float64]]] = {
    "ap": average_precision,
    "auroc": auroc,
    "dice_oracle": best_dice,
}


def add_up(table: dict[str, NDArray[Any]], others: Mapping[str, NDArray[Any]]) -> None:
    """Add numbers of subjects to those that a table holds."""
    for subject, by in others.items():
        known = table.get(subject)
        table[subject] = by if known is None else known + by


def _ranking_statistic(
    function: Callable[[NDArray[Any], NDArray[Any]], NDArray[np.float64]], grouped: Grouped, shift: float
) -> Statistic:
    return lambda weights: function(*grouped.at(weights)) + shift


def _larger(one: Statistic, two: Statistic) -> Statistic:
    return lambda weights: np.fmax(one(weights), two(weights))
