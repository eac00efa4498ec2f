"""The channels of sessions beside each other, with the outline of the first on all: do they fit?"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unlesion.prepare.sessions import RECORD, Session
from unlesion.report.page import Budget, Group, Strip, doubtful_first, write_page
from unlesion.report.tiles import contour_tile, data_uri, png, tile_size
from unlesion.scans import read_scan
from unlesion.wording import count

_log = logging.getLogger("unlesion")

# Sessions with a warning, and others, that the page shows at most.
MOST = 12
# Where volumes are cut, as shares of their slices.
HEIGHTS = (0.4, 0.65)


def write_aligned_page(path: Path, sessions: Sequence[Session], *, registered: bool) -> Path:
    """Show sessions after their channels were brought to one grid, those with warnings first.

    Args:
        path: the page, beside the folders of the sessions.
        sessions: what was written.
        registered: whether channels were moved, or lie where their headers say.

    Returns:
        `path`.
    """
    doubtful = [one for one in sessions if one.warnings]
    others = [one for one in sessions if not one.warnings]
    budget = Budget()
    groups = []
    for title, words, chosen in doubtful_first(doubtful, others, most=MOST, noun="Sessions"):
        strips = []
        for strip in (_strip(path.parent, session) for session in chosen):
            if strip is None:
                continue
            if not budget.take("".join(address for _, address in strip.tiles)):
                break
            strips.append(strip)
        if strips:
            groups.append(Group(title, words, strips))
    how = "registered to the first" if registered else "where their headers say"
    return write_page(
        path,
        "aligned.html.j2",
        title="Aligned channels",
        subtitle=f"{count(len(sessions), 'scan')} · channels {how}",
        verdict=f"{count(len(sessions), 'scan')} written; "
        + (f"{count(len(doubtful), 'scan')} with a warning." if doubtful else "none with a warning."),
        registered=registered,
        groups=groups,
    )


def _strip(out: Path, session: Session) -> Strip | None:
    from unlesion.files import read_json

    try:
        scan = read_scan([out / row["path"] for row in session.rows])
        record = read_json(out / session.key / RECORD)
    except Exception as error:
        # A picture that fails must not cost the others.
        _log.info("%s: no picture: %s", session.key, error)
        return None
    outline = _body(scan.voxels[0])
    size = tile_size(scan.grid.shape[:2], spacing=scan.grid.spacing[:2], side=200)
    tiles = []
    for row, voxels in zip(session.rows, scan.voxels, strict=True):
        shown = _windowed(voxels)
        for height in HEIGHTS:
            place = int(height * voxels.shape[2])
            picture = contour_tile(shown[:, :, place], size, found=outline[:, :, place])
            tiles.append((row["modality"], data_uri(png(picture))))
    facts = {}
    for channel in record["channels"][1:]:
        moved = f"{channel['moved_mm']:g} mm, {channel['turned_degrees']:g}°, " if channel["moved_mm"] else ""
        facts[str(channel["modality"])] = f"{moved}{100 * channel['seen']:.0f} % of the field"
    if session.warnings:
        facts["warning"] = "; ".join(session.warnings)
    return Strip(key=session.key, tiles=tiles, facts=facts)


def _body(voxels: NDArray[np.float32]) -> NDArray[np.bool_]:
    """What is not background."""
    from skimage.filters import threshold_otsu

    return np.asarray(voxels > threshold_otsu(voxels))


def _windowed(voxels: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = (float(end) for end in np.percentile(voxels, (1.0, 99.5)))
    return np.asarray((voxels - low) / max(high - low, 1e-6), dtype=np.float32)
