"""EvaluatedScan: everything that is measured about one scan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from unlesion.evaluation.fidelity import Units
from unlesion.scoring.post import ASSUMED_WIDTH_MM

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

# The map, the map without post-processing (or None), the scan score (or None: pooled from the map).
Scored = tuple[Floats, Floats | None, float | None]


@dataclass(frozen=True, kw_only=True, eq=False)
class EvaluatedScan:
    """A scan (a row of the cohort) with its maps, on the scan's own canonical grid.

    Attributes:
        key: name of the row.
        subject: who it is from; unique in the cohort.
        scan_id: which examination; slices of one volume share it.
        label: "healthy" or "anomalous".
        pathology: the finding.
        columns: further columns of the cohort, repeated in `scans.csv`.
        maps: by scoring ("native", "shared"): (map, raw map or None, scan score or None); maps are
            (rows, columns, slices).
        roi: (rows, columns, slices), the region that counts.
        lesions: the annotation; None where there is none (then a healthy scan counts as without lesions,
            and an anomalous one says nothing about voxels).
        predicted: somebody's binary lesions, counted where there are no thresholds; or None.
        image: (C, rows, columns, slices), the scan, for fidelity; or None.
        healthy: the pseudo-healthy image, like `image`; or None.
        twin: the true healthy counterpart, like `image`; or None.
        units: of prepared intensities; None: the 1st to 99th percentile inside the roi.
        spacing: mm along rows, columns, slices; None unknown.
        sides: of the patient at the left and right edge of a slice, such as ("R", "L"); None unknown.
        assumed_width_mm: how long the longer side of a picture of unknown spacing is taken to be.
        p_value, flagged, alpha: what somebody says of the native score, used where there is no calibration:
            how unusual it is, whether it is too unusual, and at which share of healthy scans; or None.
        sign: "both", "bright" or "dark": what the native map looks for; None where nobody says.
        modality: one name per channel; chooses the calibration where there are several.
    """

    key: str
    subject: str
    scan_id: str
    label: str
    maps: Mapping[str, Scored]
    roi: Mask
    pathology: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    lesions: Mask | None = None
    predicted: Mask | None = None
    image: Floats | None = None
    healthy: Floats | None = None
    twin: Floats | None = None
    units: Units | None = None
    spacing: tuple[float, float, float] | None = None
    sides: tuple[str, str] | None = None
    assumed_width_mm: float = ASSUMED_WIDTH_MM
    p_value: float | None = None
    flagged: bool | None = None
    alpha: float | None = None
    sign: str | None = None
    modality: tuple[str, ...] = ()

    @property
    def truth(self) -> Mask | None:
        """The lesions inside the roi; none at all for healthy scans; None where nobody marked them."""
        if self.lesions is not None:
            return self.lesions & self.roi
        return np.zeros_like(self.roi) if self.label == "healthy" else None

    @property
    def voxel_ml(self) -> float | None:
        """Volume of a voxel; None where the spacing is unknown, and of a single slice, which has no volume."""
        return None if self.spacing is None or self.is_flat else float(np.prod(self.spacing)) / 1000.0

    @property
    def pixel_mm2(self) -> float | None:
        """Area of a pixel of a single slice; None where the spacing is unknown, and of volumes."""
        return self.spacing[0] * self.spacing[1] if self.spacing is not None and self.is_flat else None

    @property
    def is_flat(self) -> bool:
        """True for a single slice or picture."""
        return bool(self.roi.shape[2] == 1)

    def check(self) -> None:
        """Refuse arrays that do not fit together.

        Raises:
            ValueError: in words.
        """
        grids: list[tuple[str, NDArray[np.generic] | None, int]] = [
            ("lesions", self.lesions, 0),
            ("predicted", self.predicted, 0),
            ("image", self.image, 1),
            ("healthy", self.healthy, 1),
            ("twin", self.twin, 1),
        ]
        for name, (anomaly, raw, _) in self.maps.items():
            grids += [(f"{name} map", anomaly, 0), (f"raw {name} map", raw, 0)]
        for name, array, skip in grids:
            if array is not None and array.shape[skip:] != self.roi.shape:
                raise ValueError(f"{self.key}: {name} of shape {array.shape}, roi of shape {self.roi.shape}")
        for name, (anomaly, raw, score) in self.maps.items():
            parts = [
                anomaly,
                *([] if raw is None else [raw]),
                *([] if score is None else [np.asarray(score)]),
            ]
            if not all(np.isfinite(part).all() for part in parts):
                raise ValueError(f"{self.key}: the {name} map or score holds values that are not finite")
