"""What an examination is, and what it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from unlesion.doctor.finding import Finding
from unlesion.doctor.sight import Problem, Sight
from unlesion.scans import Entry


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """What is left of a scan once its voxels are let go.

    Attributes:
        entry: its row.
        problems: what is wrong with its files.
        measured: by name of the examination, what it measured; empty where the image cannot be used.
    """

    entry: Entry
    problems: tuple[Problem, ...] = ()
    measured: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Name of the scan in its cohort."""
        return self.entry.key

    @property
    def group(self) -> tuple[str, ...]:
        """The modalities: images of different ones are not compared."""
        return self.entry.modality


class Examination(Protocol):
    """Looks at one thing: measures it on each scan, then judges all scans together.

    `measure` may run in another process; what it returns must be small, since it is kept for every scan
    of the cohort. None means that there is nothing to judge.
    """

    name: str

    def measure(self, sight: Sight) -> Any: ...

    def judge(self, seen: Sequence[Seen]) -> Iterable[Finding]: ...


class Measured:
    """Base of examinations that look at voxels: hands `judge` what was measured."""

    name: str

    def known(self, seen: Sequence[Seen]) -> list[tuple[Seen, Any]]:
        """The scans on which there is something to judge, each with what was measured."""
        return [(one, one.measured[self.name]) for one in seen if one.measured.get(self.name) is not None]


class Tabular:
    """Base of examinations that need the table alone."""

    def measure(self, sight: Sight) -> None:
        return None


def keys_where(known: Sequence[tuple[Seen, Any]], test: Callable[[Any], bool]) -> tuple[str, ...]:
    """Keys of the scans whose measurement passes a test."""
    return tuple(one.key for one, value in known if test(value))


def rows_with(seen: Sequence[Seen], *, split: str | None = None, label: str | None = None) -> list[Seen]:
    """The scans of a split and of a label."""
    return [
        one
        for one in seen
        if (split is None or one.entry.split == split) and (label is None or one.entry.label == label)
    ]


def subjects_of(seen: Iterable[Seen]) -> tuple[str, ...]:
    """The subjects, each once, in order of appearance."""
    return tuple(dict.fromkeys(one.entry.subject for one in seen))
