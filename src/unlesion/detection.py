"""Detection: what was found in one scan, and how it is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlesion.files import write_json
from unlesion.scans import Scan, write_binary, write_float, write_picture


@dataclass(frozen=True, kw_only=True, eq=False)
class Detection:
    """What was found in a scan; arrays lie on the scan's own canonical grid.

    Attributes:
        healthy: (channels, rows, columns, slices) float32, the pseudo-healthy scan in the scan's own
            intensity units; None if the method draws none.
        anomaly: (rows, columns, slices) float32 >= 0, raw: never stretched per image.
        lesions: (rows, columns, slices) bool, `anomaly` above `threshold`, small components removed.
        roi: (rows, columns, slices) bool, the region that counts.
        score: how unusual the whole scan is; only its order means something.
        p_value: share of healthy subjects at least this unusual; None without calibration.
        flagged: whether `p_value` <= `alpha`; None where that cannot be said.
        alpha: the share of healthy scans that may be flagged; None where n allows none.
        threshold: of `anomaly`; None without calibration (then `lesions` is empty).
        volume_ml: volume of `lesions`; None where the spacing is unknown.
        components: number of connected components of `lesions`.
        warnings: what a reader of the result should know.
    """

    healthy: NDArray[np.float32] | None
    anomaly: NDArray[np.float32]
    lesions: NDArray[np.bool_]
    roi: NDArray[np.bool_]
    score: float
    p_value: float | None
    flagged: bool | None
    alpha: float | None
    threshold: float | None
    volume_ml: float | None
    components: int
    warnings: tuple[str, ...]

    def summary(self) -> dict[str, Any]:
        """The numbers, without the arrays."""
        return {
            "score": self.score,
            "p_value": self.p_value,
            "flagged": self.flagged,
            "alpha": self.alpha,
            "threshold": self.threshold,
            "volume_ml": self.volume_ml,
            "components": self.components,
            "warnings": list(self.warnings),
        }


def write_detection(
    detection: Detection,
    scan: Scan,
    folder: Path,
    *,
    run: str,
    recipe: str,
    scale: float | None = None,
    mark: str = "",
) -> None:
    """Write a detection into `folder` in the geometry and format family of the scan.

    Writes `healthy`, `anomaly`, `lesions` and, last, `detection.json`, whose presence says that the
    folder is complete.

    Args:
        detection: what to write.
        scan: the scan it belongs to.
        folder: OUT/key of the scan.
        run: name of the run, recorded.
        recipe: digest of the recipe, recorded.
        scale: anomaly value drawn white in `anomaly.png` of pictures: the same for all scans of a run.
        mark: recorded, to recognise what need not be done again.
    """
    picture = scan.grid.family == "picture"
    if detection.healthy is not None:
        write_float(folder / "healthy", detection.healthy, scan.grid)
        if picture and scan.channels == 1:
            low, high = float(scan.voxels.min()), float(scan.voxels.max())
            write_picture(folder / "healthy", detection.healthy[0], low=low, high=high)
    write_float(folder / "anomaly", detection.anomaly, scan.grid)
    write_binary(folder / "lesions", detection.lesions, scan.grid)
    if picture and scale is not None:
        write_picture(folder / "anomaly", detection.anomaly, low=0.0, high=scale)
    write_json(
        folder / "detection.json",
        {
            **detection.summary(),
            "key": scan.key,
            "run": run,
            "recipe": recipe,
            "mark": mark,
            "notice": "For research use only; not a medical device.",
        },
    )
