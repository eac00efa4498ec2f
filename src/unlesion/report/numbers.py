"""Reading nested metrics tolerantly, and writing numbers for people."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any


def look_up(metrics: Any, place: str) -> Any:
    """What stands at "voxel.ap" in nested mappings; None where there is nothing."""
    found = metrics
    for part in place.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def value_of(metrics: Any, place: str) -> float | None:
    """The value of the metric at `place`, whether written bare or as {"value": x}; None if undefined."""
    found = look_up(metrics, place)
    if isinstance(found, Mapping):
        found = found.get("value")
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        return None
    return float(found)


def interval_of(metrics: Any, place: str) -> tuple[float, float] | None:
    """The 95 % interval of the metric at `place`, if it has one."""
    found = look_up(metrics, place)
    ends = found.get("ci") if isinstance(found, Mapping) else None
    if not isinstance(ends, list | tuple) or len(ends) != 2 or any(end is None for end in ends):
        return None
    return float(ends[0]), float(ends[1])


def why_not(metrics: Any, place: str) -> str:
    """Why the metric at `place`, or its interval, is undefined; "" where nothing is said."""
    found = look_up(metrics, place)
    return str(found.get("why") or found.get("ci_why") or "") if isinstance(found, Mapping) else ""


def number(metrics: Any, place: str | None = None) -> str:
    """A value, with its interval if there is one: "0.541 [0.480, 0.603]"; "–" where undefined."""
    if place is None:
        return plain(metrics)
    value, ends = value_of(metrics, place), interval_of(metrics, place)
    if value is None:
        return "–"
    return plain(value) if ends is None else f"{plain(value)} [{plain(ends[0])}, {plain(ends[1])}]"


def plain(value: float | None) -> str:
    """A number with two to four digits that mean something; thousands apart, powers only where there is no end of zeros."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e6 or size < 1e-4:
        return f"{value:.3g}"
    if size >= 999.95:
        return f"{value:,.0f}".replace(",", "\u202f")
    if size < 0.01:
        return f"{value:.2g}"
    return f"{value:.{1 if size >= 100 else 2 if size >= 10 else 3}f}"


def percent(share: float | None) -> str:
    """A share as per cent, with a space that does not break: "1.3 %"."""
    if share is None or not math.isfinite(share):
        return "–"
    value = 100 * share
    if value == 0:
        return "0\u00a0%"
    return f"{value:.2g}\u00a0%" if value < 10 else f"{value:.0f}\u00a0%"


def leaves(metrics: Any, place: str = "") -> Iterator[str]:
    """The places of all metrics in nested mappings."""
    if not isinstance(metrics, Mapping):
        return
    if "value" in metrics:
        yield place
        return
    for name, inner in metrics.items():
        yield from leaves(inner, f"{place}.{name}" if place else str(name))
