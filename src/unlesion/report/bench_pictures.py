"""The same scans through every method: a row a method, a column a scan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unlesion.report.gallery import Gallery, GalleryCase
from unlesion.report.page import Budget, scale_words
from unlesion.report.tiles import contour_tile, data_uri, grey_tile, map_tile, mark_sides, png, tile_size

# Longer side of a tile in pixels: twice as wide as a page draws it.
SIDE = 144


def pictures_of(methods: Sequence[tuple[str, Gallery | None]], budget: Budget) -> dict[str, Any] | None:
    """The rows of pictures of a cohort; None where no method has any.

    Args:
        methods: names and what each made of the scans, in the order of the table; of a name that comes more than once
            (other seeds) the first is shown.
        budget: bytes that the page may still take in; methods beyond it are named.
    """
    galleries: dict[str, Gallery] = {}
    for name, gallery in methods:
        if gallery is not None and gallery.cases:
            galleries.setdefault(name, gallery)
    if not galleries:
        return None
    cases = {case.key: case for gallery in galleries.values() for case in reversed(gallery.cases)}
    # As the first of them orders them: the others were asked for the same scans.
    first = [case.key for case in next(iter(galleries.values())).cases]
    keys = first + sorted(set(cases) - set(first))
    scans = [{"key": key, "finding": _finding(cases[key]), "tile": _truth(cases[key])} for key in keys]
    rows: list[dict[str, Any]] = []
    left_out: list[str] = []
    full = not budget.take("".join(str(scan["tile"]) for scan in scans))
    for name, gallery in galleries.items():
        own = {case.key: case for case in gallery.cases}
        cells = [None if full or key not in own else _tiles(own[key]) for key in keys]
        full = full or not budget.take("".join(address or "" for cell in cells if cell for address in cell))
        if full:
            # In the order of the table: the first that does not fit is the last that is drawn.
            left_out.append(name)
        else:
            rows.append({"method": name, "cells": cells, "calibrated": gallery.calibrated})
    return {
        "marked": any(case.truth is not None and bool(case.truth.any()) for case in cases.values()),
        "scans": scans,
        "rows": rows,
        "left_out": left_out,
        "without": [name for name in dict.fromkeys(name for name, _ in methods) if name not in galleries],
        "sides": (scale_words(next(iter(galleries.values()))) or {}).get("sides", ""),
    }


def _finding(case: GalleryCase) -> str:
    # A healthy scan may be shown for its false alarms.
    is_marked = case.truth is not None and bool(case.truth.any())
    if case.kind == "healthy" or (case.kind == "false_alarm" and not is_marked):
        return "healthy"
    return case.facts.get("finding") or "with lesions"


def _truth(case: GalleryCase) -> str:
    size = tile_size(case.image.shape, spacing=case.spacing, side=SIDE)
    return data_uri(png(mark_sides(contour_tile(case.image, size, truth=case.truth), case.sides)))


def _tiles(case: GalleryCase) -> tuple[str | None, str]:
    """Pseudo-healthy image, if the method draws one, and map."""
    size = tile_size(case.image.shape, spacing=case.spacing, side=SIDE)
    healthy = None if case.healthy is None else data_uri(png(grey_tile(case.healthy, size)))
    return healthy, data_uri(png(map_tile(case.anomaly, size)))
