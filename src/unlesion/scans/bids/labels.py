"""Healthy or anomalous: what the tables of a dataset say, where they say it in words that are known."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

# Columns that may tell who is ill, in the order in which they are asked; `label` comes before them all.
_TELLING = ("pathology", "diagnosis", "dx", "group")

_HEALTHY = re.compile(
    r"none|no|normal|healthy([ _-]?(control|volunteer|subject|participant)s?)?|controls?|con|ctrl|ctl|hc|hv|nc|cn|"
    r"volunteers?|typically[ _-]developing|td",
    re.IGNORECASE,
)
_ILL = re.compile(r"patients?|pat|sick|ill|diseased?|cases?|lesion(ed)?|anomalous", re.IGNORECASE)


@dataclass(frozen=True)
class Labels:
    """Which column tells who is healthy, and how its values are read.

    Attributes:
        column: "label", another column, or "" where none tells.
        ignored: a column that might have told, but in words that are not known; or "".
    """

    column: str
    ignored: str = ""

    def of(self, value: str) -> str:
        """Healthy or anomalous; empty for an empty value; a value of `label` is returned as it is."""
        if not value or self.column == "label":
            return value
        return "healthy" if _HEALTHY.fullmatch(value) else "anomalous"


def labels_in(columns: Iterable[str], values: dict[str, set[str]]) -> Labels:
    """Choose the column that tells.

    `label` always does; `pathology`, `diagnosis` and `dx` do if they have any value; `group` only if a value
    of it is a usual word for the healthy or the ill, because groups may be anything.

    Args:
        columns: of the tables.
        values: what occurs in every column, without empty ones.
    """
    names = {name.lower(): name for name in columns}
    if "label" in columns:
        return Labels("label")
    ignored = ""
    for wanted in _TELLING:
        name = names.get(wanted, "")
        there = values.get(name, set()) if name else set()
        if not there:
            continue
        if wanted != "group" or any(_HEALTHY.fullmatch(value) or _ILL.fullmatch(value) for value in there):
            return Labels(name)
        ignored = name
    return Labels("", ignored)
