"""Stratum: all that is counted about scans of one kind, so that kinds can be put together afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlesion.evaluation.bootstrap import Bootstrap
from unlesion.evaluation.estimate import estimate, share
from unlesion.evaluation.fidelity import Units, healed, kept
from unlesion.evaluation.metric import Metric, number
from unlesion.evaluation.scan import EvaluatedScan
from unlesion.evaluation.tally import Row, Tally, add_up

Sums = dict[str, NDArray[np.float64]]


class Stratum:
    """Counts of the scans of one kind; additive over subjects.

    Args:
        tallies: by scoring.

    Attributes:
        tallies: by scoring.
        scans: how many rows came.
        healthy: per subject: sums of MAE, PSNR, SSIM over healthy scans, and their number.
        twin: per subject: sums of the error inside lesions after and before, and the number of scans.
    """

    def __init__(self, tallies: dict[str, Tally]) -> None:
        self.tallies = tallies
        self.scans = 0
        self.healthy: Sums = {}
        self.twin: Sums = {}
        self._examinations: set[tuple[str, str]] = set()
        self._healthy_scans = 0
        self._lesions = 0
        self._voxels = 0

    @classmethod
    def sum(cls, parts: Sequence[Stratum]) -> Stratum:
        """Several strata together; at least one."""
        out = cls({name: Tally.sum([part.tallies[name] for part in parts]) for name in parts[0].tallies})
        for part in parts:
            out.scans += part.scans
            out._examinations |= part._examinations
            out._healthy_scans += part._healthy_scans
            out._lesions += part._lesions
            out._voxels += part._voxels
            add_up(out.healthy, part.healthy)
            add_up(out.twin, part.twin)
        return out

    def add(self, scan: EvaluatedScan) -> Row:
        """Take in one scan; returns its columns of `scans.csv` about truth and fidelity.

        The tallies take theirs in by themselves.
        """
        self.scans += 1
        self._examinations.add((scan.subject, scan.scan_id))
        self._healthy_scans += scan.label == "healthy"
        return {**self._truth(scan), **self._fidelity(scan)}

    @property
    def anomalous(self) -> int:
        """How many of the rows are anomalous."""
        return self.scans - self._healthy_scans

    @property
    def subjects(self) -> set[str]:
        """Who the scans are from."""
        return {subject for subject, _ in self._examinations}

    @property
    def examinations(self) -> frozenset[tuple[str, str]]:
        """(subject, scan_id) of every examination with a row among them."""
        return frozenset(self._examinations)

    def numbers(self) -> dict[str, Metric]:
        """What the metrics rest on."""
        return {
            "scans": number(self.scans),
            "examinations": number(len(self._examinations)),
            "subjects": number(len(self.subjects)),
            "healthy": number(self._healthy_scans),
            "anomalous": number(self.anomalous),
            "lesions": number(self._lesions),
            "voxels": number(self._voxels),
        }

    def healthy_metrics(self, bootstrap: Bootstrap) -> dict[str, Metric]:
        """How well healthy scans are kept."""
        why = "no healthy scan with a pseudo-healthy image"
        units = {"mae": "normalised intensity", "psnr": "dB, range 1", "ssim": "axial slices, 11 x 11 window"}
        return {
            name: estimate(
                {s: [v[i], v[-1]] for s, v in self.healthy.items()},
                share,
                bootstrap,
                why=why,
                extra={"unit": unit},
            )
            for i, (name, unit) in enumerate(units.items())
        }

    def twin_metrics(self, bootstrap: Bootstrap) -> dict[str, Metric]:
        """How well lesions are healed where the true healthy twin is known."""
        why = "no scan with a lesion, a true healthy twin and a pseudo-healthy image"

        def gain(sums: NDArray[np.float64]) -> NDArray[np.float64]:
            return 1 - share(sums)

        return {
            "mae_lesion": estimate(
                {s: [v[0], v[2]] for s, v in self.twin.items()},
                share,
                bootstrap,
                why=why,
                extra={"unit": "normalised intensity"},
            ),
            "gain": estimate({s: v[:2] for s, v in self.twin.items()}, gain, bootstrap, why=why),
        }

    def twin_arrays(self) -> dict[str, NDArray[Any]]:
        """Per subject with true healthy twins, sums of the error inside lesions after and before, for `numpy.savez`."""
        if not self.twin:
            return {}
        subjects = sorted(self.twin)
        return {
            "twin.subjects": np.asarray(subjects, dtype=np.str_),
            "twin.sums": np.asarray([self.twin[subject][:2] for subject in subjects]),
        }

    def _truth(self, scan: EvaluatedScan) -> Row:
        truth = scan.truth
        row: Row = {"roi_voxels": int(scan.roi.sum()), "lesion_voxels": None, "lesion_ml": None}
        if truth is not None:
            from unlesion.scoring import label_components

            marked = int(truth.sum())
            self._voxels += row["roi_voxels"]
            self._lesions += label_components(truth)[1] if marked else 0
            row["lesion_voxels"] = marked
            row["lesion_ml"] = None if scan.voxel_ml is None else marked * scan.voxel_ml
            if scan.pixel_mm2 is not None:
                row["lesion_mm2"] = marked * scan.pixel_mm2
            if marked and scan.image is not None:
                # Says which lesions brightness alone would find; 0.5 is the median of tissue in the
                # recipes for MRI.
                units = scan.units or Units.of(scan.image, scan.roi)
                row["lesion_brightness"] = float(units.apply(scan.image)[:, truth].mean())
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
            add_up(self.healthy, {scan.subject: _row(*found.values(), 1.0)})
        truth = scan.truth
        if scan.twin is not None and truth is not None:
            mended = healed(scan.image, scan.healthy, scan.twin, truth, units)
            if mended is not None:
                after, before = mended["mae_lesion"], mended["mae_before"]
                row["twin_mae_lesion"] = after
                row["twin_gain"] = 1 - after / before if before > 0 else None
                add_up(self.twin, {scan.subject: _row(after, before, 1.0)})
        return row


def _row(*values: float) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64)
