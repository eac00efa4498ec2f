"""Finding: something that is wrong with data or a run, or that one should know about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from unlesion.wording import count

Level = Literal["error", "warning", "note"]

LEVELS: tuple[Level, ...] = ("error", "warning", "note")
"""From worst to mildest. An error cannot be used as it is, or makes results wrong; a warning makes them
easy to misread; a note is good to know."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One finding, about one scan or many: the same fault of many scans is one finding.

    Attributes:
        code: what kind, such as "mask.other-grid"; stable, for programs.
        level: "error", "warning" or "note".
        where: keys of the scans (or paths of files, names of subjects) that it is about.
        what: in words, without naming a scan.
        mend: what to do about it.
        of: how many were looked at; None where a share makes no sense.
        unit: what `where` lists.
        detail: what was found in the first of them, where it differs from one to the next.
        value: a number that says how strong it is (an AUROC, a share), or None.
        interval: of the value, 95 %, by bootstrap over subjects; None where it has none.
        n: what the value was measured on, in images; None where it has none.
    """

    code: str
    level: Level
    where: tuple[str, ...]
    what: str
    mend: str
    of: int | None = None
    unit: str = "scan"
    detail: str = ""
    value: float | None = None
    interval: tuple[float, float] | None = None
    n: int | None = None

    @property
    def sentence(self) -> str:
        """What was found, with how many (where a share makes sense) and the first of them.

        Such as "38 of 244 scans: … (first: x)".
        """
        detail = f" ({self.detail})" if self.detail else ""
        if not self.where or (len(self.where) == 1 and self.of == 1):
            return f"{self.what}{detail}"
        first = self.where[0] + (f": {self.detail}" if self.detail else "")
        if len(self.where) > 1:
            first = f"first: {first}"
        if self.of is None:
            return f"{self.what} ({first})"
        return f"{len(self.where)} of {count(self.of, self.unit)}: {self.what} ({first})"

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "code": self.code,
            "level": self.level,
            "count": len(self.where),
            "of": self.of,
            "where": list(self.where),
            "what": self.what,
            "detail": self.detail,
            "mend": self.mend,
            "value": self.value,
            "interval": None if self.interval is None else list(self.interval),
            "n": self.n,
        }


def by_severity(findings: Iterable[Finding]) -> list[Finding]:
    """Errors first, then warnings, then notes; within a level as many scans as possible first."""
    return sorted(findings, key=lambda f: (LEVELS.index(f.level), -len(f.where), f.code))
