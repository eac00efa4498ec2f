"""The same few scans through every row of a cohort: eyes compare methods where numbers leave open why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from unlesion.calibration import RATES
from unlesion.detector import Detector
from unlesion.errors import BadInput
from unlesion.evaluating import evaluated, resolved
from unlesion.evaluation import EvaluatedScan
from unlesion.report.cutting import cut_scan
from unlesion.report.files import real
from unlesion.report.gallery import Gallery
from unlesion.report.slices import choose_slice
from unlesion.scans import Entry

# Scans that a page shows of each cohort.
SHOWN = 6

# Sizes of lesions in scans.csv, the first that all scans have.
SIZES = ("lesion_ml", "lesion_mm2", "lesion_voxels")

Item = TypeVar("Item")


def choose_scans(rows: Sequence[Mapping[str, str]], shown: int = SHOWN) -> list[str]:
    """Keys of the scans to show: with lesions of all pathologies from small to large, and at last one healthy scan.

    It depends on the scans and their regions alone, not on what a method made of them. Where nobody marked any lesion, scans with lesions are
    taken evenly from their names; where no scan has lesions, healthy ones are.

    Args:
        rows: of `scans.csv`.
        shown: how many scans, if there are so many.
    """
    healthy = sorted(row["key"] for row in rows if row.get("label") == "healthy")
    ill = [row for row in rows if row.get("label") == "anomalous"]
    ill = [row for row in ill if real(row.get("lesion_voxels"))] or ill
    if not ill:
        return [healthy[place] for place in spread(len(healthy), min(shown, len(healthy)))]
    size = next((name for name in SIZES if all(real(row.get(name)) is not None for row in ill)), None)
    kinds: dict[str, list[tuple[float, str]]] = {}
    for row in ill:
        large = 0.0 if size is None else real(row.get(size)) or 0.0
        kinds.setdefault(row.get("pathology") or "", []).append((large, row["key"]))
    chosen = [key for _, key in small_to_large(kinds, shown - 1 if healthy else shown)]
    return chosen + [healthy[place] for place in spread(len(healthy), min(1, len(healthy)))]


def small_to_large(kinds: Mapping[str, Iterable[tuple[float, Item]]], shown: int) -> list[tuple[float, Item]]:
    """`shown` of the items, each with its size, evenly from small to large, in which as many kinds as possible have a part."""
    groups = [sorted(members, key=lambda member: member[0]) for _, members in sorted(kinds.items())]
    # One each at least; then in turn, as long as a kind has more.
    shares = [min(1, len(group)) for group in groups]
    while sum(shares) < shown and any(
        share < len(group) for share, group in zip(shares, groups, strict=True)
    ):
        for number, group in enumerate(groups):
            shares[number] += shares[number] < len(group) and sum(shares) < shown
    found = [
        group[place]
        for share, group in zip(shares, groups, strict=True)
        for place in spread(len(group), share)
    ]
    found.sort(key=lambda member: member[0])
    return [found[place] for place in spread(len(found), min(shown, len(found)))]


def spread(length: int, count: int) -> list[int]:
    """So many places in a list, in the middle of equal parts of it."""
    return [int((number + 0.5) * length / count) for number in range(count)]


def show_scans(detector: Detector, entries: Iterable[Entry], *, device: str = "auto") -> Gallery:
    """What a detector makes of each scan, on the scale of its calibration; a scan that cannot be used is left out.

    Args:
        detector: whose maps and pseudo-healthy images are shown.
        entries: the scans.
        device: where the network runs.
    """
    device = resolved(device)
    calibration = detector.calibrations.get("native")
    cases, scale, calibrated = [], None, calibration is not None
    for entry in entries:
        try:
            scan = entry.read()
            seen = evaluated(detector, entry, scan, detector.prepare(scan), device=device)
        except BadInput:
            # Named already while evaluating.
            continue
        own = None if calibration is None else calibration.of(scan.modality).drawn_at(RATES["fpr_001"])
        calibrated &= own is not None
        scale = own[0] if own is not None else scale or _top(seen)
        cases.append(
            cut_scan(
                seen,
                kind="healthy" if entry.label == "healthy" else "lesion",
                # The same slice for every method.
                at=choose_slice(anomaly=seen.roi.astype(np.float32), lesions=seen.lesions),
                threshold=scale,
                facts={"finding": entry.pathology} if entry.pathology and entry.label != "healthy" else {},
            )
        )
    return Gallery(
        cases=tuple(cases),
        threshold=scale or 1.0,
        calibrated=calibrated,
        apart=bool(calibration is not None and calibration.parts),
    )


def _top(scan: EvaluatedScan) -> float:
    """A value that colours may be fixed by where there is no threshold."""
    anomaly = scan.maps["native"][0]
    top = float(np.percentile(anomaly[scan.roi] if scan.roi.any() else anomaly, 99))
    return top if top > 0 else 1.0
