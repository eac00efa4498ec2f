"""Examining a cohort: one pass over its images, then every examination judges what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path

from unlesion.doctor.examination import Seen
from unlesion.doctor.examinations import CONFOUNDS, EXAMINATIONS
from unlesion.doctor.examinations.confounds import Confound, findings_of
from unlesion.doctor.finding import Finding, by_severity
from unlesion.doctor.opening import open_leniently
from unlesion.doctor.sight import failure, open_sight
from unlesion.parallel import in_order
from unlesion.progress import Bars, silent
from unlesion.scans import Entry

# Scans handed to a worker at a time: one small picture is less work than its way there and back.
CHUNK = 16
# Chunks that may wait, looked at but not yet taken.
AHEAD = 8


@dataclass(frozen=True, kw_only=True)
class Examined:
    """What was found.

    Attributes:
        findings: the worst first.
        confounds: every trivial predictor that was tried, the most telling first.
        scans: how many scans were looked at.
    """

    findings: list[Finding]
    confounds: list[Confound] = field(default_factory=list)
    scans: int = 0


def examine_cohort(
    source: Path,
    *,
    root: Path | None = None,
    where: Sequence[str] = (),
    channels: Sequence[str] = (),
    volume: int | None = None,
    executor: Executor | None = None,
    bars: Bars = silent,
) -> Examined:
    """Examine a manifest, a folder, a prepared store or a single scan.

    Args:
        source: what to look at.
        root: what a manifest's paths are relative to, or where a public dataset lies.
        where: conditions on columns, as everywhere.
        channels: modalities joined into one scan.
        volume: which volume of 4-D files.
        executor: looks at scans; None: this process.
        bars: shows progress.

    Raises:
        BadInput: nothing of it can be opened.
        UnlesionError: a worker process died.
    """
    opened = open_leniently(source, root=root, where=where, channels=channels, volume=volume)
    seen = []
    with bars("look", len(opened.entries)) as advance:
        for one in _looks(opened.entries, executor):
            seen.append(one)
            advance(note=one.key)
    findings = list(opened.findings)
    with bars("judge", len(EXAMINATIONS) + 1) as advance:
        for examination in EXAMINATIONS:
            findings += examination.judge(seen)
            advance(note=examination.name)
        confounds = CONFOUNDS.table(seen)
        findings += findings_of(confounds)
        advance(note=CONFOUNDS.name)
    return Examined(findings=by_severity(findings), confounds=confounds, scans=len(seen))


def look(entry: Entry) -> Seen:
    """Open one scan and let every examination measure it; its voxels are let go."""
    try:
        sight, problems = open_sight(entry)
    except Exception as error:  # a scan that trips over a fault of ours must not cost all the others
        return Seen(entry=entry, problems=(failure(entry.key, error),))
    measured = {}
    if sight is not None:
        for examination in (*EXAMINATIONS, CONFOUNDS):
            if examination.name in measured:
                continue
            try:
                measured[examination.name] = examination.measure(sight)
            except Exception as error:
                problems.append(failure(f"{entry.key}: {examination.name}", error))
    return Seen(entry=entry, problems=tuple(problems), measured=measured)


def _look_all(entries: Sequence[Entry]) -> list[Seen]:
    return [look(entry) for entry in entries]


def _looks(entries: Sequence[Entry], executor: Executor | None) -> Iterator[Seen]:
    parts = _parts(entries)
    for seen in in_order(_look_all, parts, executor=executor, ahead=AHEAD, doing="reading scans"):
        yield from seen


def _parts(entries: Sequence[Entry]) -> Iterable[Sequence[Entry]]:
    return (entries[start : start + CHUNK] for start in range(0, len(entries), CHUNK))
