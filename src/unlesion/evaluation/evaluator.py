"""Evaluator: takes scans one at a time, and in the end says how good the maps are."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlesion.calibration import Calibration
from unlesion.errors import BadInput
from unlesion.evaluation import within
from unlesion.evaluation.bootstrap import Bootstrap
from unlesion.evaluation.by_group import by_group
from unlesion.evaluation.groups import COLUMNS, Cell, cell_of
from unlesion.evaluation.images import ImageScores
from unlesion.evaluation.kinds import arrays_of_kinds
from unlesion.evaluation.output import write_evaluation
from unlesion.evaluation.scan import EvaluatedScan
from unlesion.evaluation.stratum import Stratum
from unlesion.evaluation.tally import LESION_RATE, Row, Tally
from unlesion.evaluation.voxels import curves_of
from unlesion.modality import condition_name
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
        arrays: sparse counts per subject and scores of scans, of each modality too where there are several,
            from which `compare` works.
        kinds: the same for every kind of scan, from which it compares groups; empty without groups.
    """

    metrics: dict[str, Any]
    rows: list[Row]
    curves: dict[str, dict[str, list[float]]]
    arrays: dict[str, NDArray[Any]] = field(repr=False)
    kinds: dict[str, NDArray[Any]] = field(repr=False, default_factory=dict)

    def write(self, out: Path) -> None:
        """Write `metrics.json`, `scans.csv`, `curves.json`, `histograms.npz`, `groups.npz` into a folder.

        Raises:
            BadInput: it cannot be written.
        """
        write_evaluation(
            out,
            metrics=self.metrics,
            rows=self.rows,
            curves=self.curves,
            arrays=self.arrays,
            kinds=self.kinds,
        )


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
        warnings: what a reader of the numbers should know beforehand; more may follow from the scans.
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
        warnings: Sequence[str] = (),
    ) -> None:
        self.calibrations = dict(calibrations or {})
        self.scoring = dict(scoring or {})
        self.name = name
        self.cohort = dict(cohort or {})
        self.alpha = alpha
        self.bootstrap = bootstrap or Bootstrap()
        self.record = dict(record or {})
        self.warnings = list(warnings)
        self.rows: list[Row] = []
        self._scorings: tuple[str, ...] = ()
        self._strata: dict[Cell, Stratum] = {}
        self._identity: list[str] = []
        self._keys: set[str] = set()
        # By scoring and modality.
        self._scores: dict[str, dict[str, ImageScores]] = {}
        self._modalities: set[str] = set()
        self._signs: set[str | None] = set()

    def add(self, scan: EvaluatedScan) -> Row:
        """Take in one scan; returns its row of `scans.csv`.

        Raises:
            ValueError: arrays do not fit together, or a key came twice.
        """
        scan.check()
        if scan.key in self._keys:
            raise ValueError(f"{scan.key}: came twice")
        scorings = tuple(scan.maps)
        if self._scorings and set(scorings) != set(self._scorings):
            raise ValueError(f"{scan.key}: has {sorted(scorings)} maps, others {sorted(self._scorings)}")
        self._scorings = self._scorings or scorings
        self._keys.add(scan.key)
        self._modalities.add(condition_name(scan.modality))
        signs = {name: self._sign(name, scan) for name in scorings}
        self._signs.add(signs["native"])
        cell = cell_of(scan)
        if cell not in self._strata:
            self._strata[cell] = Stratum({name: self._tally(name) for name in self._scorings})
        stratum = self._strata[cell]
        bands = {name: value for name, value in zip(COLUMNS, cell, strict=True) if name.endswith("_band")}
        row: Row = {
            "key": scan.key,
            "subject": scan.subject,
            "scan": scan.scan_id,
            "label": scan.label,
            "pathology": scan.pathology,
            **{k: v for k, v in scan.columns.items() if k not in _OWN_COLUMNS and not k.endswith("path")},
            **bands,
        }
        for name, tally in stratum.tallies.items():
            columns = {"sign": signs[name], **tally.add(scan, name)}
            scores = self._scores.setdefault(name, {}).setdefault(
                condition_name(scan.modality), ImageScores()
            )
            scores.add(scan.subject, scan.scan_id, columns["score"], anomalous=scan.label == "anomalous")
            row.update(columns if name == "native" else {f"{name}_{k}": v for k, v in columns.items()})
        row.update(stratum.add(scan))
        self.rows.append(row)
        marked = -1 if row["lesion_voxels"] is None else row["lesion_voxels"]
        self._identity.append(f"{scan.key}\x1f{scan.label}\x1f{row['roi_voxels']}\x1f{marked}")
        return row

    def finish(self) -> Evaluation:
        """All metrics over what was added.

        Raises:
            BadInput: nothing was added.
        """
        if not self.rows:
            raise BadInput("nothing to evaluate: no scan of the cohort could be used; see the log")
        # Sorted, so that sums of fractions do not depend on which scan came first.
        whole = Stratum.sum([self._strata[cell] for cell in sorted(self._strata)])
        found = {name: tally.metrics(self.bootstrap) for name, tally in whole.tallies.items()}
        warnings = list(self.warnings)
        if len(self._modalities) > 1:
            warnings.append(_several(self._modalities))
            for name, parts in self._scores.items():
                found[name]["image"][within.NAME] = within.auroc_within(parts, self.bootstrap)
        by, grouping = by_group(self._strata, whole, self.bootstrap)
        metrics: dict[str, Any] = {
            "notice": "For research use only; not a medical device.",
            "name": self.name,
            "cohort": {**self.cohort, "evaluated": self._evaluated()},
            "sign": next(iter(self._signs)) if len(self._signs) == 1 else None,
            "warnings": warnings,
            "scoring": {name: config.model_dump(mode="json") for name, config in self.scoring.items()},
            "calibration": {name: self._described(c) for name, c in self.calibrations.items()},
            "bootstrap": {"replicates": self.bootstrap.replicates, "seed": self.bootstrap.seed},
            **found.pop("native", {}),
            "healthy": whole.healthy_metrics(self.bootstrap),
            "twin": whole.twin_metrics(self.bootstrap),
            "n": whole.numbers(),
            "by": by,
            "grouping": grouping,
            **found,
            "record": self.record,
        }
        arrays = whole.twin_arrays()
        for name, tally in whole.tallies.items():
            arrays.update(_arrays_of(name, tally))
            if len(self._modalities) > 1:
                arrays.update(within.to_arrays(within.tables_of(self._scores[name]), f"{name}.images"))
        kinds = arrays_of_kinds(self._strata) if by else {}
        curves = {name: curves_of(tally.voxels) for name, tally in whole.tallies.items()}
        return Evaluation(metrics=metrics, rows=self.rows, curves=curves, arrays=arrays, kinds=kinds)

    def write(self, out: Path) -> Evaluation:
        """`finish`, and write the result into a folder."""
        evaluation = self.finish()
        evaluation.write(out)
        return evaluation

    def _sign(self, scoring: str, scan: EvaluatedScan) -> str | None:
        """What a map looks for: as configured, or as somebody says of his own maps."""
        if scoring in self.scoring:
            return self.scoring[scoring].sign
        return scan.sign if scoring == "native" else None

    def _tally(self, name: str) -> Tally:
        post = self.scoring[name].post if name in self.scoring else PostConfig()
        return Tally(calibration=self.calibrations.get(name), post=post, alpha=self.alpha)

    def _described(self, calibration: Calibration) -> dict[str, Any]:
        """What was used: that of the one modality that was evaluated, or all, with a part for each modality."""
        only = next(iter(self._modalities)) if len(self._modalities) == 1 else None
        one = calibration if only is None else calibration.parts.get(only, calibration)
        words: dict[str, Any] = {
            "subjects": one.n_subjects,
            "scans": one.n_scans,
            "thresholds": dict(one.thresholds),
            "smallest_p": one.smallest_p,
        }
        if one.parts:
            words["parts"] = {
                name: {
                    "subjects": part.n_subjects,
                    "scans": part.n_scans,
                    "thresholds": dict(part.thresholds),
                }
                for name, part in one.parts.items()
            }
        return words

    def _evaluated(self) -> str:
        """Changes with the rows, their labels, their roi and their annotation."""
        return hashlib.sha256("\n".join(sorted(self._identity)).encode()).hexdigest()[:16]


def _several(modalities: Collection[str]) -> str:
    return (
        f"Scans of {len(modalities)} modalities ({', '.join(sorted(modalities))}): image.auroc and image.ap rank their scores "
        f"together, though scores of different modalities need not compare; image.{within.NAME} ranks each among its own."
    )


# Columns of the cohort that stand under their own names already.
_OWN_COLUMNS = {"key", "path", "subject", "scan", "label", "pathology", "score", "p_value", "flagged"}


def _arrays_of(name: str, tally: Tally) -> dict[str, NDArray[Any]]:
    dice = sorted(tally.dice)
    return {
        **tally.voxels.to_arrays(f"{name}.voxels"),
        **tally.images.table().to_arrays(f"{name}.images"),
        f"{name}.dice.subjects": np.asarray(dice, dtype=np.str_),
        f"{name}.dice.counts": np.asarray([tally.dice[s] for s in dice], dtype=np.int64).reshape(-1, 4, 3),
    }


__all__ = ["ALPHA", "LESION_RATE", "Evaluation", "Evaluator"]
