"""Maps that somebody else made, in a folder laid out as `detect` writes one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlesion.calibration import Calibration, CalibrationBuilder
from unlesion.detection import healthy_names
from unlesion.errors import BadInput
from unlesion.evaluation.scan import EvaluatedScan, Scored
from unlesion.evaluation.shared_map import shared_map
from unlesion.files import read_json
from unlesion.scans import Cohort, Entry, Scan, sides_of
from unlesion.scans.checks import check_same_grid
from unlesion.scans.formats import read_array
from unlesion.scans.mask_labels import marked_but_healthy
from unlesion.scoring import pool_map
from unlesion.sweep import Failures
from unlesion.wording import count

_ENDINGS = (".nii.gz", ".nii", ".npy")

# A scan with fewer zeros than this is a picture with dark spots, not an organ on black.
_STRIPPED = 0.05


class MapsFolder:
    """The scans of a cohort with their maps from `maps/KEY/anomaly.nii.gz` (or `.nii`, `.npy`).

    Beside a map may lie `healthy` (the pseudo-healthy image), `lesions` (binary) and `detection.json`
    ("score", "p_value", "flagged", "alpha", "sign"). If all scans have a healthy image, there is the shared
    scoring, too.

    Args:
        maps: the folder.
        cohort: what the maps are of.
        failures: takes scans that cannot be used, which are then left out; None: they raise.
        scores: whether the scores in `detection.json` are taken.

    Attributes:
        missing: keys without a map.
        undrawn: keys with a map and without a healthy image.

    Raises:
        BadInput: there is no such folder, or no map of any scan in it.
    """

    def __init__(
        self,
        maps: Path,
        cohort: Cohort,
        *,
        failures: Failures | None = None,
        scores: bool = True,
    ) -> None:
        self.maps = Path(maps)
        self.scores = scores
        self.failures = failures
        if not self.maps.is_dir():
            raise BadInput(f"{self.maps}: no such folder; give a run, or a folder of maps")
        self.entries = [entry for entry in cohort if self._file(entry, "anomaly") is not None]
        self.missing = [entry.key for entry in cohort if self._file(entry, "anomaly") is None]
        self.undrawn = [entry.key for entry in self.entries if not self._drawn(entry)]
        if not self.entries:
            example = f"{self.maps}/{self.missing[0] if self.missing else 'KEY'}/anomaly.nii.gz (or .npy)"
            raise BadInput(
                f"{self.maps}: no map for any of the {count(len(self.missing), 'scan')}; expected {example}"
            )

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[EvaluatedScan]:
        for entry in self.entries:
            if self.failures is None:
                yield self._read(entry)
                continue
            scan: EvaluatedScan | None = None
            with self.failures.guard(entry.key):
                scan = self._read(entry)
            if scan is not None:
                yield scan

    def _read(self, entry: Entry) -> EvaluatedScan:
        scan = entry.read()
        anomaly = self._image(entry, scan, "anomaly", "map")
        assert anomaly is not None
        healthy = [self._image(entry, scan, name, "healthy image") for name in healthy_names(scan)]
        drawn = [image for image in healthy if image is not None]
        redrawn = np.stack(drawn) if len(drawn) == scan.channels else None
        predicted = self._image(entry, scan, "lesions", "lesion mask")
        said, sign = self._said(entry)
        roi = region_of(scan)
        spacing = scan.grid.spacing if scan.grid.spacing_known else None
        maps: dict[str, Scored] = {"native": (anomaly, None, said.get("score") if self.scores else None)}
        if not self.undrawn:
            if redrawn is None:
                names = ", ".join(healthy_names(scan))
                raise BadInput(f"{self.maps / entry.key}: not all healthy images are there; write {names}")
            maps["shared"] = shared_map(scan.voxels, redrawn, roi, spacing=spacing)
        return EvaluatedScan(
            key=entry.key,
            subject=entry.subject or entry.key,
            scan_id=entry.scan_id or entry.key,
            label=entry.label,
            pathology=entry.pathology,
            columns=dict(entry.columns),
            maps=maps,
            roi=scan.judged(roi),
            lesions=scan.lesions,
            predicted=None if predicted is None else predicted > 0,
            image=scan.voxels,
            healthy=redrawn,
            twin=scan.twin,
            spacing=spacing,
            sides=sides_of(scan.grid),
            p_value=said.get("p_value"),
            flagged=bool(said["flagged"]) if "flagged" in said else None,
            alpha=said.get("alpha"),
            sign=sign,
            modality=scan.modality,
        )

    def _drawn(self, entry: Entry) -> bool:
        """Whether there is a healthy image, of any channel."""
        folder = self.maps / entry.key
        return any(
            path.name.endswith(_ENDINGS)
            for pattern in ("healthy.*", "healthy_*")
            for path in folder.glob(pattern)
        )

    def _file(self, entry: Entry, name: str) -> Path | None:
        folder = self.maps / entry.key
        return next((folder / (name + e) for e in _ENDINGS if (folder / (name + e)).is_file()), None)

    def _image(self, entry: Entry, scan: Scan, name: str, what: str) -> NDArray[np.float32] | None:
        path = self._file(entry, name)
        if path is None:
            return None
        values, grid = read_array(path)
        check_same_grid(grid, scan.grid, path, what=what)
        if not np.isfinite(values).all():
            raise BadInput(
                f"{path}: this {what} holds values that are not finite; write 0 where nothing is known"
            )
        return values

    def _said(self, entry: Entry) -> tuple[dict[str, float], str | None]:
        """The numbers of `detection.json` as far as they are some, and the sign of the map."""
        path = self.maps / entry.key / "detection.json"
        said: Any = read_json(path) if path.is_file() else {}
        if not isinstance(said, dict):
            return {}, None
        numbers = {
            name: float(said[name])
            for name in ("score", "p_value", "flagged", "alpha")
            if isinstance(said.get(name), int | float) and np.isfinite(said[name])
        }
        sign = said.get("sign")
        return numbers, sign if sign in ("both", "bright", "dark") else None


def read_maps_folder(
    maps: Path, cohort: Cohort, *, failures: Failures | None = None, scores: bool = True
) -> MapsFolder:
    """The scans of a cohort with their maps out of a folder; see `MapsFolder`."""
    return MapsFolder(maps, cohort, failures=failures, scores=scores)


@dataclass(frozen=True)
class Said:
    """What the `detection.json` beside maps say: of how many maps, how many have a score, which runs made them."""

    maps: int
    scores: int
    runs: tuple[str, ...]


def said_beside(maps: Path, entries: Iterable[Entry]) -> Said:
    """What stands beside the maps of these scans."""
    there = scored = 0
    runs: dict[str, None] = {}
    for folder in dict.fromkeys(Path(maps) / entry.key for entry in entries):
        if any((folder / f"anomaly{ending}").is_file() for ending in _ENDINGS):
            there += 1
            path = folder / "detection.json"
            said: Any = read_json(path) if path.is_file() else {}
            said = said if isinstance(said, dict) else {}
            score = said.get("score")
            scored += isinstance(score, int | float) and bool(np.isfinite(score))
            if said.get("run"):
                runs[str(said["run"])] = None
    return Said(maps=there, scores=scored, runs=tuple(runs))


def calibrate_maps(
    maps: Path,
    cohort: Cohort,
    *,
    failures: Failures | None = None,
    scores: bool = True,
) -> dict[str, Calibration]:
    """Thresholds and p-values from somebody's maps of the healthy rows of split `val`, by scoring.

    Args:
        maps: the folder.
        cohort: all of its rows.
        failures: takes every map that could not be used, and is told of every healthy row whose mask marks a
            lesion: it is left out. None: the first unusable map is an error.
        scores: whether the scores in `detection.json` count; else, and where there is none, the map's highest 1 % does.

    Returns:
        Nothing where the cohort has no such rows, or the folder no maps of them.
    """
    held_out = cohort.select(split="val", label="healthy")
    if len(held_out) == 0:
        return {}
    builders: dict[str, CalibrationBuilder] = {}
    try:
        folder = MapsFolder(maps, held_out, failures=failures, scores=scores)
    except BadInput:
        return {}
    marked = {entry.key for entry in folder.entries if entry.is_marked()}
    for scan in folder:
        if scan.key in marked:
            if failures is not None:
                failures.say(f"left out of the calibration: {marked_but_healthy(scan.key)}")
            continue
        for name, (anomaly, _, score) in scan.maps.items():
            score = pool_map(anomaly, scan.roi) if score is None else score
            builder = builders.setdefault(name, CalibrationBuilder())
            builder.add(scan.subject, anomaly, scan.roi, score, modality=scan.modality)
    return {name: builder.finish() for name, builder in builders.items()}


def region_of(scan: Scan) -> NDArray[np.bool_]:
    """The region that counts for maps without a recipe.

    The roi that came with the scan; else, for an organ on black, the outline of what is not 0; else
    everything.
    """
    if scan.roi is not None:
        return scan.roi
    from scipy.ndimage import binary_fill_holes

    there: NDArray[np.bool_] = (scan.voxels != 0).any(axis=0)
    if there.mean() > 1 - _STRIPPED:
        return np.ones_like(there)
    out = np.zeros_like(there)
    for index in range(there.shape[2]):
        out[..., index] = binary_fill_holes(there[..., index])
    return out


def unknown_of_maps(*, scans: int, unsigned: int, predicted: int, undrawn: int) -> list[str]:
    """What a folder of maps does not say, for those who read its numbers.

    Args:
        scans: how many were evaluated.
        unsigned: how many of them do not say what their map looks for.
        predicted: how many have binary lesions that count, as there are no thresholds.
        undrawn: how many have no healthy image.
    """
    found = []
    if unsigned:
        found.append(
            f"{unsigned} of {count(scans, 'scan')}: it is not known whether the map looks for brighter, darker or both "
            '("sign" in detection.json says it).'
        )
    if predicted:
        found.append(
            f"{predicted} of {count(scans, 'scan')}: lesions are counted in the files `lesions` beside the maps; at which threshold "
            "they were made is not known here."
        )
    if 0 < undrawn < scans:
        found.append(
            f"{undrawn} of {count(scans, 'scan')}: no healthy image, so that the shared scoring is left out for all."
        )
    return found
