"""Results by group as a page shows them: a figure, a table and what is compared, per column."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unlesion.report.forest import Panel, forest, forest_width
from unlesion.report.numbers import interval_of, look_up, number, percent, plain, value_of
from unlesion.wording import count

# Column of `by`, heading, what its groups are.
TITLES = {
    "pathology": ("By pathology", ""),
    "size_band": (
        "By size of the lesions",
        "The lesions of a scan together: their volume on the scan's grid; for single slices what the cohort says, "
        "or else their share of the region of interest.",
    ),
    "modality": ("By modality", ""),
    "source": ("By source", ""),
    "site": ("By site", ""),
    "sex": ("By sex", ""),
    "age_band": ("By age in years", ""),
}

OF_LESIONS = (
    "A row holds the scans with lesions of that kind. Voxels are ranked among the voxels of these scans, without "
    "those of healthy scans; image AUROC and flagging set these scans against all healthy scans."
)
OF_ALL = (
    "A row holds the healthy scans and those with lesions of that group, evaluated as if there were no others. "
    "Realised at 1 %: the share of healthy voxels above the threshold meant to be exceeded by 1 %."
)

# Place in a group's metrics, heading; shown where any group has it.
COLUMNS = (
    ("voxel.ap", "voxel AP"),
    ("voxel.prevalence", "guessing"),
    ("voxel.dice_at_fpr.fpr_001", "Dice at 1 %"),
    ("realised_fpr.fpr_001", "realised at 1 %"),
    ("lesion.recall", "lesions found"),
    ("image.auroc", "image AUROC"),
    ("image.flagged.anomalous", "flagged, with lesions"),
    ("image.flagged.healthy", "flagged, healthy"),
    ("twin.gain", "healing"),
)

PER_CENT = "\u00a0%"
# Pixels an inch: letters as large on pages of one panel as on those of three.
_PIXELS = 95

_SHARES = ("realised_fpr.", "lesion.recall", "image.flagged.")

# What is drawn: place, label of the axis, place or number of what says nothing, the axis' ends.
PANELS: tuple[tuple[str, str, str | float, tuple[float, float] | None], ...] = (
    ("voxel.ap", "voxel AP", "voxel.prevalence", (0.0, 1.0)),
    ("image.auroc", "image AUROC", 0.5, (0.0, 1.0)),
    ("twin.gain", "healing", 0.0, None),
)


@dataclass(frozen=True)
class GroupRow:
    """A group in the table: its name, what it rests on, and a value with its interval per column."""

    name: str
    rests_on: str
    cells: list[tuple[str, str]]


@dataclass(frozen=True)
class ByColumn:
    """The groups of one column; the figure is so many pixels wide."""

    title: str
    words: str
    figure: str | None
    width: int
    columns: list[str]
    rows: list[GroupRow]
    left_out: str


def by_column(metrics: Mapping[str, Any]) -> list[ByColumn]:
    """What the page shows of `by`; nothing where there are no groups."""
    by = metrics.get("by")
    if not isinstance(by, Mapping):
        return []
    return [
        _column(name, groups, look_up(metrics, f"grouping.{name}") or {})
        for name, groups in by.items()
        if isinstance(groups, Mapping) and groups
    ]


def group_name(name: str) -> str:
    """A group's name for people: a range gets the dash of a range."""
    return re.sub(r"(?<=\d)-(?=\d)", "–", name)


def _column(column: str, groups: Mapping[str, Any], told: Mapping[str, Any]) -> ByColumn:
    title, words = TITLES.get(column, (f"By {column.replace('_', ' ')}", ""))
    of_lesions = str(told.get("holds", "")).startswith("anomalous")
    shown = [
        (place, heading)
        for place, heading in COLUMNS
        if any(value_of(group, place) is not None for group in groups.values())
    ]
    # A site may be called "2021-03"; only bands are ranges.
    names = [group_name(name) if column.endswith("_band") else name for name in groups]
    panels = _panels(list(groups.values()))
    labels = [f"{name}\n{_subjects(group)}" for name, group in zip(names, groups.values(), strict=True)]
    return ByColumn(
        title=title,
        words=f"{OF_LESIONS if of_lesions else OF_ALL} {words}".strip(),
        figure=forest(labels, panels),
        width=round(_PIXELS * forest_width(len(panels))),
        columns=[heading for _, heading in shown],
        rows=[
            GroupRow(name, _rests_on(group), [_cell(group, place) for place, _ in shown])
            for name, group in zip(names, groups.values(), strict=True)
        ],
        left_out=_left_out(column, told),
    )


def _panels(groups: list[Any]) -> list[Panel]:
    panels = []
    for place, label, nothing, ends in PANELS:
        values = [value_of(group, place) for group in groups]
        if any(value is not None for value in values):
            panels.append(
                Panel(
                    label=label,
                    values=values,
                    intervals=[interval_of(group, place) for group in groups],
                    guessing=[
                        value_of(group, nothing) if isinstance(nothing, str) else nothing for group in groups
                    ],
                    ends=ends,
                )
            )
    return panels


def _subjects(group: Mapping[str, Any]) -> str:
    subjects = value_of(group, "n.subjects")
    return "" if subjects is None else count(int(subjects), "subject")


def _rests_on(group: Mapping[str, Any]) -> str:
    """Such as "12 subjects, 40 scans, 8 of them healthy, 55 lesions"."""
    found = {
        name: value_of(group, f"n.{name}")
        for name in ("subjects", "scans", "healthy", "anomalous", "lesions")
    }
    words = [
        count(int(n), what) for what, n in (("subject", found["subjects"]), ("scan", found["scans"])) if n
    ]
    if found["healthy"] and found["anomalous"]:
        words.append(f"{int(found['healthy'])} of them healthy")
    elif found["healthy"]:
        words.append("all healthy")
    if found["lesions"]:
        words.append(count(int(found["lesions"]), "lesion"))
    return ", ".join(words)


def _cell(group: Mapping[str, Any], place: str) -> tuple[str, str]:
    """A value and its interval, apart so that they can stand on two lines."""
    write = percent if place.startswith(_SHARES) else plain
    value, ends = value_of(group, place), interval_of(group, place)
    if value is None:
        return number(group, place), ""
    if place == "voxel.prevalence":
        return write(value), ""
    return write(
        value
    ), "" if ends is None else f"{write(ends[0]).removesuffix(PER_CENT)} to {write(ends[1])}"


def _left_out(column: str, told: Mapping[str, Any]) -> str:
    words = []
    missing, beyond = told.get("scans_in_no_group"), told.get("groups_left_out")
    if isinstance(missing, int) and missing:
        what = column.removesuffix("_band")
        words.append(
            f"{count(missing, 'scan')} without a known {what} {'is' if missing == 1 else 'are'} in no row."
        )
    if isinstance(beyond, list) and beyond:
        words.append(f"Not shown, because they are smaller: {', '.join(str(name) for name in beyond)}.")
    return " ".join(words)
