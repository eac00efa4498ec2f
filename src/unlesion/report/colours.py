"""The colours of all reports: few, apart for colour-blind readers, and a map scale that is fixed."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

INK = "#1b2430"
MUTED = "#5a6675"
LINE = "#d9dee5"
HEALTHY = "#2166ac"
ANOMALOUS = "#c2500a"
ACCENT = "#6a4c93"

# Contours over grey images: what is annotated and what was found.
TRUTH = "#19e3d3"
FOUND = "#ff9d1e"

# The scale ends at this many thresholds.
TOP = 2.0

# (multiples of the threshold, colour). Lightness rises all along; the hue turns from blue to orange
# right above the threshold, so that one sees what exceeds it without reading a number.
STOPS: tuple[tuple[float, str], ...] = (
    (0.0, "#000000"),
    (0.5, "#1b2c50"),
    (1.0, "#46699c"),
    (1.08, "#e08214"),
    (1.5, "#fdb863"),
    (2.0, "#fff3cf"),
)


def rgb(code: str) -> tuple[int, int, int]:
    """`#rrggbb` to three numbers of 0 to 255."""
    return int(code[1:3], 16), int(code[3:5], 16), int(code[5:7], 16)


@cache
def _table() -> NDArray[np.uint8]:
    places = np.linspace(0.0, TOP, 512)
    knots = [place for place, _ in STOPS]
    channels = [np.interp(places, knots, [rgb(code)[i] for _, code in STOPS]) for i in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def colour_map(anomaly: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Colours of a map.

    Args:
        anomaly: any shape, in multiples of the threshold; clipped to 0 .. `TOP`, not finite drawn as 0.

    Returns:
        The shape + (3,) uint8.
    """
    values = np.nan_to_num(np.asarray(anomaly, dtype=np.float32), nan=0.0, posinf=TOP, neginf=0.0)
    table = _table()
    places = np.clip(values / TOP, 0.0, 1.0) * (len(table) - 1)
    return table[np.rint(places).astype(np.intp)]


def css_gradient() -> str:
    """The map's scale as a CSS gradient from left to right."""
    stops = ", ".join(f"{code} {100 * place / TOP:g}%" for place, code in STOPS)
    return f"linear-gradient(to right, {stops})"
