"""Forest plot: a row a group, a panel a metric, dots with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unlesion.report.colours import HEALTHY, INK, MUTED
from unlesion.report.curves import figure, literal


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One metric of all groups.

    Attributes:
        label: of the axis.
        values: one a group, None where undefined.
        intervals: one a group, None where there is none.
        guessing: one a group: what is reached by knowing nothing; drawn as a tick.
        ends: of the axis; None: as the values need.
    """

    label: str
    values: Sequence[float | None]
    intervals: Sequence[tuple[float, float] | None]
    guessing: Sequence[float | None]
    ends: tuple[float, float] | None = None


def forest_width(panels: int) -> float:
    """Inches of a forest plot with so many panels."""
    return 1.6 + 2.6 * panels


def forest(labels: Sequence[str], panels: Sequence[Panel]) -> str | None:
    """Draw groups from the top in the order given; None if there is nothing to draw."""
    if not labels or not panels:
        return None

    def draw(axes: Any) -> None:
        for place, (one, panel) in enumerate(zip(np.atleast_1d(axes), panels, strict=True)):
            _panel(one, panel)
            rows = range(len(labels) - 1, -1, -1)
            one.set_yticks(rows, [literal(label) for label in labels] if place == 0 else [""] * len(labels))
            one.tick_params(axis="y", labelcolor=INK, length=0)
            one.set(ylim=(-0.6, len(labels) - 0.4), xlabel=panel.label)
            one.grid(visible=False, axis="y")

    return figure(
        draw, width=forest_width(len(panels)), height=0.75 + 0.42 * len(labels), columns=len(panels)
    )


def _panel(axes: Any, panel: Panel) -> None:
    for place, (value, ends, guess) in enumerate(
        zip(reversed(panel.values), reversed(panel.intervals), reversed(panel.guessing), strict=True)
    ):
        if value is None:
            axes.text(0.02, place, "–", color=MUTED, va="center", transform=axes.get_yaxis_transform())
            continue
        if guess is not None:
            axes.plot([guess, guess], [place - 0.3, place + 0.3], color=MUTED, linewidth=1, linestyle=":")
        if ends is not None:
            axes.plot(ends, [place, place], color=HEALTHY, linewidth=1.6, solid_capstyle="butt")
        # An empty dot has no interval: too few subjects to say how far it may be off.
        axes.plot(
            value,
            place,
            "o",
            color=HEALTHY,
            markersize=5.5,
            markerfacecolor="white" if ends is None else HEALTHY,
        )
    if panel.ends is not None:
        axes.set_xlim(panel.ends[0] - 0.02, panel.ends[1] + 0.02)
