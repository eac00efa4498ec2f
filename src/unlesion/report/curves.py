"""Curves as small SVG figures; matplotlib without pyplot, so that nothing global is changed."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from unlesion.report.colours import ACCENT, ANOMALOUS, HEALTHY, INK, LINE, MUTED
from unlesion.report.numbers import interval_of, plain, value_of
from unlesion.report.tiles import data_uri
from unlesion.wording import count

# Points beyond this many say nothing more on a small figure and weigh much.
MOST_POINTS = 600

RATES = {"fpr_0001": 0.001, "fpr_0005": 0.005, "fpr_001": 0.01, "fpr_005": 0.05}

STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.color": INK,
    "axes.grid": True,
    "grid.color": "#edf0f3",
    "legend.frameon": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "unlesion",
}


def precision_recall(
    curves: Mapping[str, Any], *, prevalence: float | None = None, marks: Mapping[str, float] | None = None
) -> str | None:
    """Precision over recall, a line per scoring, with the precision of guessing.

    Args:
        curves: by scoring: {"recall": [...], "precision": [...], "threshold": [...] (may be missing)}.
        prevalence: share of lesion voxels.
        marks: by scoring: the threshold at 1 % healthy false positives, drawn as a point.

    Returns:
        The figure as the address of an image; None if there is nothing to draw.
    """
    lines = []
    for name, colour, dashes in (("native", ANOMALOUS, "-"), ("shared", ACCENT, "--")):
        curve = curves.get(name) or {}
        recall, precision = curve.get("recall") or [], curve.get("precision") or []
        if len(recall) > 1 and len(recall) == len(precision):
            lines.append((name, colour, dashes, recall, precision, curve.get("threshold") or []))
    if not lines:
        return None

    def draw(axes: Any) -> None:
        for name, colour, dashes, recall, precision, thresholds in lines:
            axes.plot(recall, precision, dashes, color=colour, linewidth=1.7, label=name)
            mark = (marks or {}).get(name)
            if mark is not None and len(thresholds) == len(recall):
                at = int(np.argmin(np.abs(np.asarray(thresholds, dtype=float) - mark)))
                axes.plot(recall[at], precision[at], "o", color=colour, markersize=5)
                axes.annotate(
                    "threshold" if name == "native" else "",
                    (recall[at], precision[at]),
                    # A point near the floor has the line of guessing below it, with its own words.
                    xytext=(7, -11) if precision[at] > 0.2 else (7, 20),
                    textcoords="offset points",
                    color=colour,
                )
        if prevalence is not None:
            axes.axhline(prevalence, color=MUTED, linewidth=1, linestyle=":")
            # On the left, because all curves end on this line on the right.
            axes.text(0.02, prevalence + 0.012, f"guessing: {plain(prevalence)}", color=MUTED)
        axes.set(xlim=(0, 1.005), ylim=(0, 1.02), xlabel="share of lesion voxels found (recall)")
        axes.set_ylabel("share of found that is lesion\n(precision)")
        axes.legend(loc="upper right")

    return figure(draw)


def realised_rates(metrics: Mapping[str, Any]) -> str | None:
    """Share of healthy test voxels above each threshold, over the share that was meant."""
    rows = []
    for name, meant in RATES.items():
        value = value_of(metrics, f"realised_fpr.{name}")
        if value is not None:
            rows.append((meant, value, interval_of(metrics, f"realised_fpr.{name}")))
    if not rows:
        return None

    def draw(axes: Any) -> None:
        ends = [end for _, _, ci in rows for end in (ci or ())]
        positive = [v for v in [0.001, 0.05, *(r[1] for r in rows), *ends] if v > 0]
        low, high = max(min(positive) / 2, 1e-5), min(max(positive) * 2, 1.0)
        axes.plot([low, high], [low, high], color=MUTED, linewidth=1, linestyle=":")
        # Below the line the calibration was careful, above it healthy tissue is flagged too often.
        axes.fill_between([low, high], [low, high], [high, high], color=ANOMALOUS, alpha=0.06, linewidth=0)
        axes.text(0.03, 0.95, "more than meant", color=ANOMALOUS, va="top", transform=axes.transAxes)
        for meant, value, ci in rows:
            shown = max(value, low)
            if ci is not None:
                axes.plot([meant, meant], [max(ci[0], low), max(ci[1], low)], color=HEALTHY, linewidth=1.4)
            axes.plot(meant, shown, "o" if value > 0 else "v", color=HEALTHY, markersize=5)
        axes.set(xscale="log", yscale="log", xlim=(0.0006, 0.08), ylim=(low, high))
        axes.set_xticks([r[0] for r in rows], [f"{100 * r[0]:g} %" for r in rows])
        ticks = [t for t in (1e-4, 1e-3, 0.01, 0.1, 1.0) if low <= t <= high]
        axes.set_yticks(ticks, [f"{100 * t:g} %" for t in ticks])
        axes.minorticks_off()
        axes.set(xlabel="healthy voxels meant to exceed the threshold", ylabel="really exceed it")

    return figure(draw)


def score_strips(
    healthy: Sequence[float], anomalous: Sequence[float], *, threshold: float | None = None
) -> str | None:
    """The scan scores, a dot each, healthy above anomalous, with the threshold of flagging."""
    groups = [
        (name, [v for v in values if np.isfinite(v)], colour)
        for name, values, colour in (("anomalous", anomalous, ANOMALOUS), ("healthy", healthy, HEALTHY))
    ]
    groups = [group for group in groups if group[1]]
    if not groups:
        return None

    def draw(axes: Any) -> None:
        everything = np.concatenate([values for _, values, _ in groups])
        for row, (_, values, colour) in enumerate(groups):
            shown = np.sort(np.asarray(values))
            if len(shown) > MOST_POINTS:
                shown = shown[np.linspace(0, len(shown) - 1, MOST_POINTS).astype(int)]
            # A low-discrepancy sequence spreads dots evenly, and the same way every time.
            offsets = ((np.arange(len(shown)) * 0.6180339887) % 1.0 - 0.5) * 0.55
            axes.plot(shown, row + offsets, "o", color=colour, alpha=0.55, markersize=3.6, markeredgewidth=0)
            middle = float(np.median(values))
            axes.plot([middle, middle], [row - 0.38, row + 0.38], color=INK, linewidth=1.6)
        if threshold is not None and np.isfinite(threshold):
            axes.axvline(threshold, color=INK, linewidth=1, linestyle="--")
            axes.text(threshold, len(groups) - 0.42, " flagged beyond", va="bottom", color=INK)
        low, high = float(everything.min()), float(everything.max())
        if low > 0 and high / low > 50:
            axes.set_xscale("log")
        axes.set_yticks(range(len(groups)), [f"{n}\n({count(len(v), 'scan')})" for n, v, _ in groups])
        axes.set(ylim=(-0.5, len(groups) - 0.3), xlabel="scan score (only its order means something)")
        axes.grid(visible=False, axis="y")

    return figure(draw, height=1.3 + 0.8 * len(groups))


def training_history(rows: Sequence[Mapping[str, str]]) -> str | None:
    """The loss of every stage over its steps.

    Args:
        rows: of `history.csv`: stage, step, loss.
    """
    stages: dict[str, tuple[list[float], list[float]]] = {}
    for row in rows:
        try:
            step, loss = float(row["step"]), float(row["loss"])
        except (KeyError, TypeError, ValueError):
            continue
        steps, losses = stages.setdefault(str(row.get("stage", "")), ([], []))
        steps.append(step)
        losses.append(loss)
    stages = {name: pair for name, pair in stages.items() if len(pair[0]) > 1}
    if not stages:
        return None

    def draw(axes: Any) -> None:
        for one, (name, (steps, losses)) in zip(np.atleast_1d(axes), stages.items(), strict=True):
            thin = max(1, len(steps) // MOST_POINTS)
            one.plot(steps[::thin], losses[::thin], color=HEALTHY, linewidth=0.8, alpha=0.45)
            one.plot(steps[::thin], _smooth(losses)[::thin], color=HEALTHY, linewidth=1.8)
            if min(losses) > 0 and max(losses) / min(losses) > 20:
                one.set_yscale("log")
            one.set(xlabel="step", title=name)
        np.atleast_1d(axes)[0].set_ylabel("loss (mean of 10 steps; bold: smoothed)")

    return figure(draw, width=min(4.6 * len(stages), 11.0), columns=len(stages), height=2.8)


def intervals(
    rows: Sequence[tuple[str, float, tuple[float, float] | None]],
    *,
    label: str,
    reference: float | None = None,
    reference_label: str = "",
) -> str | None:
    """A dot with its interval per row, in the order given from the top.

    Args:
        rows: (name, value, interval or None).
        label: of the axis.
        reference: drawn as a line, such as what guessing reaches.
        reference_label: said beside it.
    """
    if not rows:
        return None

    def draw(axes: Any) -> None:
        for place, (_, value, ci) in enumerate(reversed(rows)):
            if ci is not None:
                axes.plot(ci, [place, place], color=HEALTHY, linewidth=1.6, solid_capstyle="butt")
            axes.plot(value, place, "o", color=HEALTHY, markersize=5.5)
        if reference is not None:
            axes.axvline(reference, color=MUTED, linewidth=1, linestyle=":")
            axes.text(reference, len(rows) - 0.45, f" {reference_label}", color=MUTED, va="bottom")
        axes.set_yticks(range(len(rows)), [literal(name) for name, _, _ in reversed(rows)])
        axes.tick_params(axis="y", labelcolor=INK)
        axes.set(ylim=(-0.6, len(rows) - 0.2), xlabel=literal(label))
        axes.set_xlim(left=min(0.0, *axes.get_xlim()))
        axes.grid(visible=False, axis="y")

    return figure(draw, width=6.4, height=0.9 + 0.3 * len(rows))


def literal(text: str) -> str:
    """A name as it is: what stands between two dollars would be read as a formula."""
    return text.replace("$", r"\$")


def figure(draw: Callable[[Any], None], *, width: float = 3.7, height: float = 2.9, columns: int = 1) -> str:
    """A figure drawn by `draw(axes)`, as the address of an SVG image; the same bytes every time."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        canvas = FigureCanvasSVG(Figure(figsize=(width, height), layout="constrained"))
        draw(canvas.figure.subplots(1, columns))
        buffer = io.BytesIO()
        canvas.print_svg(buffer, metadata={"Date": None, "Creator": None})
    return data_uri(buffer.getvalue(), "image/svg+xml")


def _smooth(values: Sequence[float]) -> list[float]:
    """Mean over about a twentieth of the training around each point."""
    half = len(values) // 40
    sums = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    low, high = np.maximum(at - half, 0), np.minimum(at + half + 1, len(values))
    return [float(v) for v in (sums[high] - sums[low]) / (high - low)]
