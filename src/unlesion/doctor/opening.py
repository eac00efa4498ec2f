"""Opening a cohort that has faults: each is noted, and the rest is looked at all the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from unlesion.doctor.finding import Finding
from unlesion.errors import BadInput
from unlesion.prepare import is_store, store_cohort
from unlesion.scans import Cohort, Entry
from unlesion.scans.cohort import is_manifest, table_of_manifest
from unlesion.scans.manifest import Row, reader_of
from unlesion.scans.selection import join_channels, rows_where


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What could be opened of a cohort.

    Attributes:
        entries: the scans.
        findings: what is wrong with the table itself.
    """

    entries: tuple[Entry, ...]
    findings: tuple[Finding, ...]


def open_leniently(
    source: Path,
    *,
    root: Path | None = None,
    where: Sequence[str] = (),
    channels: Sequence[str] = (),
    volume: int | None = None,
) -> Opened:
    """Open a cohort as every verb does; if that is refused, open what can be opened of its manifest.

    Raises:
        BadInput: nothing of it can be opened.
    """
    if root is None and is_store(source):
        if channels:
            raise BadInput(
                f"--channels {','.join(channels)}: {source} is a prepared store; join channels when preparing it"
            )
        cohort = store_cohort(source, where=where)
        return Opened(entries=cohort.entries, findings=_notes(cohort.warnings))
    try:
        cohort = Cohort.open(source, root=root, where=where, channels=channels, volume=volume)
    except BadInput as error:
        manifest = source / "manifest.csv" if source.is_dir() else source
        if not is_manifest(manifest):
            raise
        return _row_by_row(manifest, root or manifest.parent, where, channels, volume, error)
    return Opened(entries=cohort.entries, findings=_notes(cohort.warnings))


def _row_by_row(
    manifest: Path,
    root: Path,
    where: Sequence[str],
    channels: Sequence[str],
    volume: int | None,
    refused: BadInput,
) -> Opened:
    # As for all other verbs, labels are those of masks where no column says them.
    table = table_of_manifest(manifest, root)
    columns, rows = table.columns, table.rows
    selected = rows_where(rows, where, columns, str(manifest))
    bad: list[tuple[Row, str]] = []
    entries = _openable(reader_of(manifest, columns, rows, root=root, volume=volume), selected, bad)
    if not entries:
        raise refused
    findings = [*_notes(table.warnings)]
    if bad:
        findings.append(
            Finding(
                code="table.row",
                level="error",
                where=tuple(f"row {row.number}" for row, _ in bad),
                what="a row of the manifest cannot be used",
                detail=bad[0][1],
                mend="correct the rows: no other verb opens this cohort",
                of=len(selected),
                unit="row",
            )
        )
    kept = {entry.key: entry for entry in reversed(entries)}
    unique = [entry for entry in entries if kept[entry.key] is entry]
    if len(unique) < len(entries):
        twice = tuple(dict.fromkeys(entry.key for entry in entries if kept[entry.key] is not entry))
        findings.append(
            Finding(
                code="table.listed-twice",
                level="error",
                where=twice,
                what="the image is listed twice",
                mend="keep one row of each: no other verb opens this cohort",
                of=len(entries),
                unit="row",
            )
        )
    if channels:
        try:
            unique, left_out = join_channels(unique, channels, str(manifest))
            findings += _notes(left_out)
        except BadInput as error:
            findings.append(_refusal(error))
    return Opened(entries=tuple(unique), findings=tuple(findings))


def _openable(
    entry_of: Callable[[Row], Entry], selected: Sequence[Row], bad: list[tuple[Row, str]]
) -> list[Entry]:
    """The entries of all rows that can be used; the others go into `bad`."""
    entries = []
    for row in selected:
        try:
            entries.append(entry_of(row))
        except BadInput as error:
            bad.append((row, str(error)))
    return entries


def _refusal(error: BadInput) -> Finding:
    return Finding(
        code="table.refused",
        level="error",
        where=(),
        what=str(error),
        mend="correct the table: no other verb opens this cohort",
    )


def _notes(warnings: Sequence[str]) -> tuple[Finding, ...]:
    return tuple(_note(warning) for warning in warnings)


def _note(warning: str) -> Finding:
    # Such a file belongs to no series that is known, so no scan will fail for the lack of it.
    if "not readable as DICOM" in warning:
        return Finding(
            code="file.no-series",
            level="error",
            where=(),
            what=warning.removesuffix("; copy or export it again"),
            mend="copy or export it again: at an end of a volume nobody else will miss it",
        )
    return Finding(code="cohort.note", level="note", where=(), what=warning, mend="check that this is meant")
