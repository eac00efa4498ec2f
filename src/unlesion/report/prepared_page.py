"""What preparing made of scans: a page to look at before anything learns from them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unlesion.prepare import Intensity, Placement, PreparedStore
from unlesion.prepare.resample import to_prepared
from unlesion.report.page import Budget, Group, Strip, doubtful_first, write_page
from unlesion.report.tiles import contour_tile, data_uri, png, tile_size
from unlesion.scans import Cohort, Entry
from unlesion.wording import count

_log = logging.getLogger("unlesion")

# Scans of which something is to be said that the page shows at most, and as many others.
MOST = 12
# Letters of a name above a picture.
LONGEST = 26
# Heights at which a volume is shown, as shares of its slices.
HEIGHTS = (0.2, 0.4, 0.6, 0.8)


def write_prepared_page(path: Path, store: PreparedStore, cohort: Cohort, noticed: Sequence[str]) -> Path:
    """Show scans on the prepared grid with the outline of the region of interest, those with warnings first.

    Scans are read again, because the arrays of a store keep nothing of what lies outside the region: the page does.

    Args:
        path: the page.
        store: the prepared scans.
        cohort: the scans themselves.
        noticed: what there is to say of all.

    Returns:
        `path`.
    """
    entries = {entry.key: entry for entry in cohort}
    rows = [number for number, row in enumerate(store.scans) if row["key"] in entries]
    doubtful = [row for row in rows if store.scans[row]["warnings"]]
    others = [row for row in rows if not store.scans[row]["warnings"]]
    budget = Budget()
    groups = [
        _group(title, words, chosen, store, entries, budget)
        for title, words, chosen in doubtful_first(doubtful, others, most=MOST, noun="Scans")
    ]
    size = store.recipe.size
    return write_page(
        path,
        "prepared.html.j2",
        title=f"Prepared: {store.name}",
        subtitle=f"recipe {store.recipe.name} ({store.recipe.digest}) · {size} px",
        verdict=f"{count(len(store.scans), 'scan')} prepared, {count(len(store), 'slice')} of {size} x {size} pixels; "
        + (f"{count(len(doubtful), 'scan')} with a warning." if doubtful else "none with a warning."),
        warnings=list(noticed),
        groups=groups,
    )


def _group(
    title: str,
    words: str,
    rows: Sequence[int],
    store: PreparedStore,
    entries: Mapping[str, Entry],
    budget: Budget,
) -> Group:
    strips = []
    for number in rows:
        try:
            strip = _strip(store, number, entries[store.scans[number]["key"]])
        except Exception as error:
            # It could be prepared a moment ago; a picture that fails must not cost the others.
            _log.info("%s: no picture: %s", store.scans[number]["key"], error)
            continue
        if not budget.take("".join(address for _, address in strip.tiles)):
            break
        strips.append(strip)
    return Group(title, words, _rows_of(strips))


def _rows_of(strips: Sequence[Strip]) -> list[Strip]:
    """Single slices side by side, each under its name; volumes as they are."""
    flat = [strip for strip in strips if len(strip.tiles) == 1]
    rows = [strip for strip in strips if len(strip.tiles) > 1]
    for first in range(0, len(flat), len(HEIGHTS)):
        row = flat[first : first + len(HEIGHTS)]
        # The folder that all have in common is known, and long names would overlap.
        tiles = [("/".join(strip.key.split("/")[-2:])[-LONGEST:], strip.tiles[0][1]) for strip in row]
        facts = {strip.key: strip.facts["warning"] for strip in row if "warning" in strip.facts}
        rows.append(Strip(key="", tiles=tiles, facts=facts))
    return rows


def _strip(store: PreparedStore, number: int, entry: Entry) -> Strip:
    row = store.scans[number]
    roi = np.asarray(store.roi[store.slices_of(number)], dtype=bool)
    scan = entry.read()
    placement = Placement(
        matrix=np.asarray(row["placement"], dtype=np.float64),
        shape=(roi.shape[1], roi.shape[2], roi.shape[0]),
        scan_shape=tuple(row["scan_shape"]),
    )
    everything = np.ones(scan.voxels.shape[1:], dtype=bool)
    images, _ = to_prepared(scan.voxels, everything, placement)
    intensity = Intensity(offset=tuple(row["offset"]), scale=tuple(row["scale"]))
    outside = intensity.apply(images.transpose(3, 0, 1, 2))[:, 0]
    # Inside the region what methods see, to the pixel.
    shown = np.where(roi, store.images[store.slices_of(number)][:, 0].astype(np.float32), outside)
    size = tile_size(roi.shape[1:], spacing=tuple(row["spacing"][:2]))
    places = sorted({int(height * len(roi)) for height in HEIGHTS}) if len(roi) > 1 else [0]
    tiles = [
        (
            f"slice {place + 1} of {len(roi)}" if len(roi) > 1 else "slice",
            data_uri(png(contour_tile(shown[place], size, found=roi[place]))),
        )
        for place in places
    ]
    return Strip(key=row["key"], tiles=tiles, facts=_facts(row, roi))


def _facts(row: Mapping[str, Any], roi: np.ndarray[Any, Any]) -> dict[str, str]:
    facts = {"region": f"{100 * float(roi.mean()):.0f} % of the picture"}
    if len(row["modality"]) > 1:
        facts["channel"] = str(row["modality"][0])
    if row["warnings"]:
        facts["warning"] = "; ".join(row["warnings"])
    return facts
