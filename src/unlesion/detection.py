"""Detection: what was found in one scan, and how it is written."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlesion.files import cannot_write, whole_folder, write_json
from unlesion.scans import Scan, write_binary, write_float, write_picture

# What a detection consists of; other files in its folder are somebody else's.
_OURS = re.compile(
    r"(healthy(_[A-Za-z0-9-]+)?|anomaly|lesions|rate_map)\.(nii\.gz|npy|png)|preview\.png|lesions\.dcm|detection\.json"
)


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
        threshold: of `anomaly`; None without calibration: then nothing is decided, and `lesions` is empty.
        volume_ml: volume of `lesions`; None where the spacing is unknown, without `threshold`, and of a single slice,
            which cuts lesions and holds no volume.
        components: number of connected components of `lesions`; None without `threshold`.
        warnings: what a reader of the result should know.
        sign: what `anomaly` looks for: "both", "bright" or "dark".
        area_mm2: area of `lesions` in a single slice of known spacing; None of volumes.
        rate: the share of healthy voxels that exceeds `threshold`; None without calibration.
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
    components: int | None
    warnings: tuple[str, ...]
    sign: str | None = None
    area_mm2: float | None = None
    rate: float | None = None

    def summary(self) -> dict[str, Any]:
        """The numbers, without the arrays."""
        return {
            "score": self.score,
            "p_value": self.p_value,
            "flagged": self.flagged,
            "alpha": self.alpha,
            "threshold": self.threshold,
            "rate": self.rate,
            "volume_ml": self.volume_ml,
            "area_mm2": self.area_mm2,
            "components": self.components,
            "sign": self.sign,
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
    also: Callable[[Path], Sequence[str]] | None = None,
) -> None:
    """Write a detection into `folder` in the geometry and format family of the scan.

    Writes `healthy` (one file a channel), `anomaly`, `lesions` and, last, `detection.json`, whose
    presence says that the folder is complete. All appear together, in the place of an earlier detection.

    Args:
        detection: what to write.
        scan: the scan it belongs to.
        folder: OUT/key of the scan.
        run: name of the run, recorded.
        recipe: digest of the recipe, recorded.
        scale: anomaly value drawn white in `anomaly.png` of pictures: the same for all scans of a run at one
            rate.
        mark: recorded, to recognise what need not be done again.
        also: writes more into the folder that it is given, to appear with the rest; what it returns are further warnings.

    Raises:
        BadInput: the folder cannot be written.
    """
    with _together(folder) as partial:
        more = [] if also is None else list(also(partial))
        _write_arrays(detection, scan, partial, scale=scale)
        write_json(
            partial / "detection.json",
            {
                **detection.summary(),
                "warnings": [*detection.warnings, *more],
                "key": scan.key,
                "run": run,
                "recipe": recipe,
                "mark": mark,
                # By which a later call sees whether all are still there.
                "files": sorted(file.name for file in partial.iterdir()),
                "notice": "For research use only; not a medical device.",
            },
        )


def healthy_names(scan: Scan) -> tuple[str, ...]:
    """How the files of the healthy image are called, one a channel, without ending.

    `healthy` for a single channel; `healthy_T1`, ... for several, by number where modalities have no
    names of their own.
    """
    if scan.channels == 1:
        return ("healthy",)
    words = [re.sub(r"[^A-Za-z0-9-]+", "-", name) for name in scan.modality]
    if len(words) != scan.channels or not all(words) or len({word.lower() for word in words}) < len(words):
        words = [str(number) for number in range(scan.channels)]
    return tuple(f"healthy_{word}" for word in words)


def _write_arrays(detection: Detection, scan: Scan, folder: Path, *, scale: float | None) -> None:
    picture = scan.grid.family == "picture"
    if detection.healthy is not None:
        for name, drawn, own in zip(healthy_names(scan), detection.healthy, scan.voxels, strict=True):
            write_float(folder / name, drawn, scan.grid)
            low, high = float(own.min()), float(own.max())
            if picture and high > low:
                write_picture(folder / name, drawn, low=low, high=high)
    write_float(folder / "anomaly", detection.anomaly, scan.grid)
    write_binary(folder / "lesions", detection.lesions, scan.grid)
    if picture and scale is not None:
        write_picture(folder / "anomaly", detection.anomaly, low=0.0, high=scale)


@contextmanager
def _together(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder whose files then take the place of those of an earlier detection.

    What is not ours stays: `a` may be a scan and a folder with further scans `a/b`.
    """
    others = folder.is_dir() and any(p.is_dir() or not _OURS.fullmatch(p.name) for p in folder.iterdir())
    if not others:
        with whole_folder(folder) as partial:
            yield partial
        return
    staged = folder / ".part-detection"
    try:
        shutil.rmtree(staged, ignore_errors=True)
        with whole_folder(staged) as partial:
            yield partial
        # Without detection.json the folder counts as incomplete, should this be interrupted.
        (folder / "detection.json").unlink(missing_ok=True)
        for old in folder.iterdir():
            if old.is_file() and _OURS.fullmatch(old.name):
                old.unlink()
        for new in sorted(staged.iterdir(), key=lambda path: path.name == "detection.json"):
            os.replace(new, folder / new.name)
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)
