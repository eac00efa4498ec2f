"""Evaluator: takes scans one at a time, and in the end says how good the maps are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlesion.calibration import Calibration
from unlesion.errors import BadInput
from unlesion.evaluation.bootstrap import Bootstrap
from unlesion.evaluation.estimate import estimate, share
from unlesion.evaluation.fidelity import Units, healed, kept
from unlesion.evaluation.metric import Metric, number
from unlesion.evaluation.output import write_evaluation
from unlesion.evaluation.scan import EvaluatedScan
from unlesion.evaluation.tally import LESION_RATE, Row, Tally
from unlesion.evaluation.voxels import curves_of
from unlesion.scoring import PostConfig, ScoringConfig

# Scans are flagged wrongly this often, unless told otherwise.
ALPHA = 0.05


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """The result.

    Attributes:
        metrics: nested; leaves are `Metric` or plain JSON.
        rows: one a scan, in the order they came.
        curves: per scoring, points of the precision-recall and ROC curves.
        arrays: sparse counts per subject, from which `compare` works.
    """

    metrics: dict[str, Any]
    rows: list[Row]
    curves: dict[str, dict[str, list[float]]]
    arrays: dict[str, NDArray[Any]] = field(repr=False)

    def write(self, out: Path) -> None:
        """Write `metrics.json`, `scans.csv`, `curves.json` and `histograms.npz` into a folder.

        Raises:
            BadInput: it cannot be written.
        """
        write_evaluation(out, metrics=self.metrics, rows=self.rows, curves=self.curves, arrays=self.arrays)


class Evaluator:
    """Measures maps on one cohort; never holds more than one scan.

    Args:
        calibrations: by scoring; without one there are no thresholds and no p-values.
        scoring: by scoring, its settings; recorded, and `post` decides which components are dropped.
        name: of what is evaluated.
        cohort: what was evaluated on: "name", "digest", "split", ... recorded, and compared by `compare`.
        alpha: a scan is flagged if its p-value is at most this.
        bootstrap: how intervals are made.
        record: recorded as it stands.
    """

    def __init__(
        self,
        *,
        calibrations: Mapping[str, Calibration] | None = None,
        scoring: Mapping[str, ScoringConfig] | None = None,
        name: str = "",
        cohort: Mapping[str, Any] | None = None,
        alpha: float = ALPHA,
        bootstrap: Bootstrap | None = None,
        record: Mapping[str, Any] | None = None,
    ) -> None:
        self.calibrations = dict(calibrations or {})
        self.scoring = dict(scoring or {})
        self.name = name
        self.cohort = dict(cohort or {})
        self.alpha = alpha
        self.bootstrap = bootstrap or Bootstrap()
        self.record = dict(record or {})
        self.rows: list[Row] = []
        self._tallies: dict[str, Tally] = {}
        self._healthy: dict[str, NDArray[np.float64]] = {}
        self._twin: dict[str, NDArray[np.float64]] = {}
        self._voxels = 0
        self._lesions = 0
        self._identity: list[str] = []
        self._keys: set[str] = set()

    def add(self, scan: EvaluatedScan) -> Row:
        """Take in one scan; returns its row of `scans.csv`.

        Raises:
            ValueError: arrays do not fit together, or a key came twice.
        """
        scan.check()
        if scan.key in self._keys:
            raise ValueError(f"{scan.key}: came twice")
        if self._tallies and set(scan.maps) != set(self._tallies):
            raise ValueError(f"{scan.key}: has {sorted(scan.maps)} maps, others {sorted(self._tallies)}")
        if not self._tallies:
            self._tallies = {name: self._tally(name) for name in scan.maps}
        self._keys.add(scan.key)
        row: Row = {
            "key": scan.key,
            "subject": scan.subject,
            "scan": scan.scan_id,
            "label": scan.label,
            "pathology": scan.pathology,
            **{k: v for k, v in scan.columns.items() if k not in _OWN_COLUMNS and not k.endswith("path")},
        }
        for name, tally in self._tallies.items():
            sign = self.scoring[name].sign if name in self.scoring else None
            columns = {"sign": sign, **tally.add(scan, name)}
            row.update(columns if name == "native" else {f"{name}_{k}": v for k, v in columns.items()})
        row.update(self._truth(scan))
        row.update(self._fidelity(scan))
        self.rows.append(row)
        return row

    def finish(self) -> Evaluation:
        """All metrics over what was added.

        Raises:
            BadInput: nothing was added.
        """
        if not self.rows:
            raise BadInput("nothing to evaluate: no scan of the cohort could be used; see the log")
        labels = [row["label"] for row in self.rows]
        subjects = {row["subject"] for row in self.rows}
        found = {name: tally.metrics(self.bootstrap) for name, tally in self._tallies.items()}
        metrics: dict[str, Any] = {
            "notice": "For research use only; not a medical device.",
            "name": self.name,
            "cohort": {**self.cohort, "evaluated": self._evaluated()},
            "sign": self.scoring["native"].sign if "native" in self.scoring else None,
            "scoring": {name: config.model_dump(mode="json") for name, config in self.scoring.items()},
            "calibration": {
                name: {
                    "subjects": c.n_subjects,
                    "scans": c.n_scans,
                    "thresholds": dict(c.thresholds),
                    "smallest_p": c.smallest_p,
                }
                for name, c in self.calibrations.items()
            },
            "bootstrap": {"replicates": self.bootstrap.replicates, "seed": self.bootstrap.seed},
            **found.pop("native", {}),
            "healthy": self._healthy_metrics(),
            "twin": self._twin_metrics(),
            "n": {
                "scans": number(len(self.rows)),
                "examinations": number(len({(row["subject"], row["scan"]) for row in self.rows})),
                "subjects": number(len(subjects)),
                "healthy": number(labels.count("healthy")),
                "anomalous": number(labels.count("anomalous")),
                "lesions": number(self._lesions),
                "voxels": number(self._voxels),
            },
            **found,
            "record": self.record,
        }
        arrays: dict[str, NDArray[Any]] = {}
        for name, tally in self._tallies.items():
            arrays.update(_arrays_of(name, tally))
        curves = {name: curves_of(tally.voxels) for name, tally in self._tallies.items()}
        return Evaluation(metrics=metrics, rows=self.rows, curves=curves, arrays=arrays)

    def write(self, out: Path) -> Evaluation:
        """`finish`, and write the result into a folder."""
        evaluation = self.finish()
        evaluation.write(out)
        return evaluation

    def _tally(self, name: str) -> Tally:
        post = self.scoring[name].post if name in self.scoring else PostConfig()
        return Tally(calibration=self.calibrations.get(name), post=post, alpha=self.alpha)

    def _truth(self, scan: EvaluatedScan) -> Row:
        truth = scan.truth
        size, marked = int(scan.roi.sum()), -1
        row: Row = {"roi_voxels": size, "lesion_voxels": None, "lesion_ml": None}
        if truth is not None:
            from unlesion.scoring import label_components

            marked = int(truth.sum())
            self._voxels += size
            self._lesions += label_components(truth)[1] if marked else 0
            row["lesion_voxels"] = marked
            row["lesion_ml"] = None if scan.voxel_ml is None else marked * scan.voxel_ml
            if marked and scan.image is not None:
                # Says which lesions brightness alone would find; 0.5 is the median of tissue in the
                # recipes for MRI.
                units = scan.units or Units.of(scan.image, scan.roi)
                row["lesion_brightness"] = float(units.apply(scan.image)[:, truth].mean())
        self._identity.append(f"{scan.key}\x1f{scan.label}\x1f{size}\x1f{marked}")
        return row

    def _fidelity(self, scan: EvaluatedScan) -> Row:
        """How well a healthy scan is kept, and how well a lesion with a known twin is healed."""
        if scan.image is None or scan.healthy is None or not scan.roi.any():
            return {}
        units = scan.units or Units.of(scan.image, scan.roi)
        row: Row = {}
        if scan.label == "healthy":
            found = kept(scan.image, scan.healthy, scan.roi, units)
            row = {f"healthy_{name}": value for name, value in found.items()}
            self._gather(self._healthy, scan.subject, [*found.values(), 1.0])
        truth = scan.truth
        if scan.twin is not None and truth is not None:
            mended = healed(scan.image, scan.healthy, scan.twin, truth, units)
            if mended is not None:
                after, before = mended["mae_lesion"], mended["mae_before"]
                row["twin_mae_lesion"] = after
                row["twin_gain"] = 1 - after / before if before > 0 else None
                self._gather(self._twin, scan.subject, [after, before, 1.0])
        return row

    @staticmethod
    def _gather(table: dict[str, NDArray[np.float64]], subject: str, values: list[float]) -> None:
        table[subject] = table.get(subject, np.zeros(len(values))) + np.asarray(values)

    def _healthy_metrics(self) -> dict[str, Metric]:
        why = "no healthy scan with a pseudo-healthy image"
        units = {"mae": "normalised intensity", "psnr": "dB, range 1", "ssim": "axial slices, 11 x 11 window"}
        return {
            name: estimate(
                {s: [v[i], v[-1]] for s, v in self._healthy.items()},
                share,
                self.bootstrap,
                why=why,
                extra={"unit": unit},
            )
            for i, (name, unit) in enumerate(units.items())
        }

    def _twin_metrics(self) -> dict[str, Metric]:
        why = "no scan with a lesion, a true healthy twin and a pseudo-healthy image"

        def gain(sums: NDArray[np.float64]) -> NDArray[np.float64]:
            return 1 - share(sums)

        return {
            "mae_lesion": estimate(
                {s: [v[0], v[2]] for s, v in self._twin.items()},
                share,
                self.bootstrap,
                why=why,
                extra={"unit": "normalised intensity"},
            ),
            "gain": estimate({s: v[:2] for s, v in self._twin.items()}, gain, self.bootstrap, why=why),
        }

    def _evaluated(self) -> str:
        """Changes with the rows, their labels, their roi and their annotation."""
        return hashlib.sha256("\n".join(sorted(self._identity)).encode()).hexdigest()[:16]


# Columns of the cohort that stand under their own names already.
_OWN_COLUMNS = {"key", "path", "subject", "scan", "label", "pathology", "score", "p_value", "flagged"}


def _arrays_of(name: str, tally: Tally) -> dict[str, NDArray[Any]]:
    table = tally.images.table()
    dice = sorted(tally.dice)
    return {
        **tally.voxels.to_arrays(f"{name}.voxels"),
        f"{name}.images.subjects": np.asarray(table.subjects, dtype=np.str_),
        f"{name}.images.owner": table.owner,
        f"{name}.images.score": table.score,
        f"{name}.images.anomalous": table.anomalous,
        f"{name}.dice.subjects": np.asarray(dice, dtype=np.str_),
        f"{name}.dice.counts": np.asarray([tally.dice[s] for s in dice], dtype=np.int64).reshape(-1, 4, 3),
    }


__all__ = ["ALPHA", "LESION_RATE", "Evaluation", "Evaluator"]
