"""An evaluation read back from its folder, for comparing."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlesion.calibration import RATES
from unlesion.errors import BadInput
from unlesion.evaluation import within
from unlesion.evaluation.images import ScanTable
from unlesion.evaluation.kinds import kind_of
from unlesion.evaluation.output import HISTOGRAMS, KINDS, METRICS
from unlesion.evaluation.voxels import VoxelCounts
from unlesion.files import read_json

TWIN = "twin.gain"


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredEvaluation:
    """What comparisons need of an evaluation, for one scoring.

    Attributes:
        path: its folder.
        metrics: the metrics of the scoring, nested.
        whole: all of `metrics.json`.
        voxels: counts per subject.
        images: scores of scans.
        by_modality: the same of each modality; empty where there is one modality only, of groups, and of
            evaluations from before it was kept.
        dice: per subject (4 rates, 3): TP, FP, FN.
        twin: per subject (2,): sums of the error inside lesions after and before; empty where no twin is known, of groups, and of
            evaluations from before it was kept.
        scoring: which one.
        group: (column, group) that all this is about; None: all scans.
        called: how a comparison calls it, where its name is not its own; "" otherwise.
    """

    path: Path
    metrics: Mapping[str, Any]
    whole: Mapping[str, Any]
    voxels: VoxelCounts
    images: ScanTable
    dice: Mapping[str, NDArray[np.int64]]
    by_modality: Mapping[str, ScanTable] = field(default_factory=dict)
    twin: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    scoring: str = "native"
    group: tuple[str, str] | None = None
    called: str = ""

    @classmethod
    def open(cls, path: Path, *, scoring: str) -> StoredEvaluation:
        """Read an evaluation.

        Raises:
            BadInput: none there, a damaged one, or one without that scoring.
        """
        if not (path / METRICS).is_file():
            raise BadInput(f"{path}: not an evaluation (no {METRICS}); make one with `unlesion evaluate`")
        whole = read_json(path / METRICS)
        metrics = whole if scoring == "native" else whole.get(scoring)
        if metrics is None:
            raise BadInput(f"{path}: has no {scoring} scoring (its method draws no healthy image)")
        try:
            with np.load(path / HISTOGRAMS, allow_pickle=False) as arrays:
                subjects = [str(name) for name in arrays[f"{scoring}.dice.subjects"]]
                return cls(
                    path=path,
                    metrics=metrics,
                    whole=whole,
                    voxels=VoxelCounts.from_arrays(arrays, f"{scoring}.voxels"),
                    images=ScanTable.from_arrays(arrays, f"{scoring}.images"),
                    by_modality=within.from_arrays(arrays, f"{scoring}.images"),
                    dice=dict(zip(subjects, arrays[f"{scoring}.dice.counts"], strict=True)),
                    twin=_twin(arrays),
                    scoring=scoring,
                )
        except _DAMAGE as error:
            raise _damaged(path / HISTOGRAMS, error) from error

    def groups(self, column: str) -> list[str]:
        """The groups of a column that were measured.

        Raises:
            BadInput: there are none; the message names the columns that have any.
        """
        by = self.whole.get("by") or {}
        if column not in by:
            known = ", ".join(by) or "none"
            raise BadInput(f"--by {column}: {self.path} has no results by it; columns with groups: {known}")
        return list(by[column])

    def of_group(self, column: str, group: str) -> StoredEvaluation:
        """The evaluation of one group's scans alone.

        Raises:
            BadInput: the counts by group are missing or damaged.
        """
        metrics = self.whole["by"][column][group]
        try:
            with np.load(self.path / KINDS, allow_pickle=False) as arrays:
                kind = kind_of(arrays, scoring=self.scoring, column=column, group=group)
        except _DAMAGE as error:
            raise _damaged(self.path / KINDS, error) from error
        return replace(
            self,
            metrics=metrics if self.scoring == "native" else metrics.get(self.scoring, {}),
            voxels=kind.voxels,
            images=kind.images.table(),
            by_modality={},
            twin={},
            dice=kind.dice,
            group=(column, group),
        )

    @property
    def label(self) -> str:
        """How tables call it: as it is called here, or else its name or its folder's."""
        return self.called or str(self.whole.get("name") or self.path.name)

    @property
    def cohort(self) -> Mapping[str, Any]:
        """What it was evaluated on."""
        found: Mapping[str, Any] = self.whole.get("cohort") or {}
        return found

    @property
    def scans(self) -> int:
        """Number of rows."""
        return int(self.whole["n"]["scans"]["value"])

    @property
    def voxels_count(self) -> int:
        """Number of voxels inside the roi."""
        return int(self.whole["n"]["voxels"]["value"])

    def metric(self, name: str) -> float | None:
        """The value of a metric by its dotted name."""
        value = self._find(name).get("value")
        return None if value is None else float(value)

    def has(self, name: str) -> bool:
        """Whether the metric was measured, be it undefined."""
        return bool(self._find(name))

    def why(self, name: str) -> str:
        """Why a metric has no value; "" if it has one."""
        found = self._find(name)
        return str(found.get("why", "")) if found else "not measured by group in this scoring"

    def has_interval(self, name: str) -> bool:
        """Whether the metric has an interval: else there are too few subjects for one of a difference."""
        return self._find(name).get("ci") is not None

    def carriers(self, name: str) -> int:
        """Number of subjects without which the metric would have no value."""
        if name.startswith("voxel."):
            return self.voxels.with_lesions
        if name == TWIN:
            return len(self.twin)
        if name == within.PLACE:
            return within.WithinModality(self.by_modality).carriers
        sides = [set(self.images.owner[self.images.anomalous == side].tolist()) for side in (True, False)]
        return min(len(side) for side in sides)

    def dice_counts(self, subjects: list[str], rate: str) -> NDArray[np.float64]:
        """(K, 3) TP, FP, FN at one rate."""
        index = list(RATES).index(rate)
        nothing = np.zeros((len(RATES), 3), dtype=np.int64)
        return np.asarray([self.dice.get(s, nothing)[index] for s in subjects], dtype=np.float64)

    def _find(self, name: str) -> Mapping[str, Any]:
        found: Any = self.metrics
        for part in name.split("."):
            found = found.get(part, {}) if isinstance(found, Mapping) else {}
        return found if isinstance(found, Mapping) else {}


def _twin(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float64]]:
    if "twin.subjects" not in arrays:
        return {}
    subjects = [str(name) for name in arrays["twin.subjects"]]
    return dict(zip(subjects, np.asarray(arrays["twin.sums"], dtype=np.float64), strict=True))


_DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


def _damaged(path: Path, error: Exception) -> BadInput:
    return BadInput(f"{path}: missing or damaged ({type(error).__name__}); evaluate again")
