"""What a dataset's tables say about its participants and their sessions."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path

from unlesion.errors import BadInput
from unlesion.scans.checks import reason
from unlesion.wording import count

PARTICIPANTS = "participants.tsv"

_MISSING = ("n/a", "N/A")


@dataclass(frozen=True, kw_only=True)
class People:
    """The rows of the tables.

    Attributes:
        columns: of `participants.tsv` and then of the tables of sessions, without those that name the row.
        values: by subject ("sub-01").
        rows: the row number of a subject in `participants.tsv`; the header is row 1.
        sessions: by (subject, session without "ses-"); these override `values`.
    """

    columns: tuple[str, ...] = ()
    values: dict[str, dict[str, str]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    sessions: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)

    def of(self, subject: str, session: str) -> dict[str, str]:
        """What is known about a subject at a session."""
        return {**self.values.get(subject, {}), **self.sessions.get((subject, session), {})}


def read_people(root: Path, subjects: list[str]) -> People:
    """Read `participants.tsv`, and `sub-*_sessions.tsv` where there are some.

    Raises:
        BadInput: a table is not readable, lacks its first column, or lists somebody twice.
    """
    people = People()
    columns: dict[str, None] = {}
    if (root / PARTICIPANTS).is_file():
        for number, row in _rows(root / PARTICIPANTS, "participant_id"):
            subject = row.pop("participant_id")
            subject = subject if subject.startswith("sub-") else f"sub-{subject}"
            if subject in people.values:
                raise BadInput(
                    f"{root / PARTICIPANTS}: row {number}, {subject} is listed twice; keep one row"
                )
            people.values[subject] = row
            people.rows[subject] = number
            columns.update(dict.fromkeys(row))
    for subject in subjects:
        path = root / subject / f"{subject}_sessions.tsv"
        if not path.is_file():
            continue
        for _, row in _rows(path, "session_id"):
            session = row.pop("session_id").removeprefix("ses-")
            people.sessions[subject, session] = {name: value for name, value in row.items() if value}
            columns.update(dict.fromkeys(row))
    return People(columns=tuple(columns), values=people.values, rows=people.rows, sessions=people.sessions)


def _rows(path: Path, first: str) -> list[tuple[int, dict[str, str]]]:
    """The rows of a table with their numbers; "n/a" is empty."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        table = list(csv.reader(io.StringIO(text, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path}: not readable as a table in UTF-8 ({reason(error)}); correct it") from error
    columns = [name.strip() for name in table[0]] if table else []
    if first not in columns:
        raise BadInput(
            f"{path}: no column {first!r}; separate columns with tabs and name the first {first!r}"
        )
    found = []
    for number, fields in enumerate(table[1:], start=2):
        if not any(text.strip() for text in fields):
            continue
        if len(fields) != len(columns):
            raise BadInput(
                f"{path}: row {number} has {count(len(fields), 'value')} for {count(len(columns), 'column')}; separate them with tabs"
            )
        values = {name: text.strip() for name, text in zip(columns, fields, strict=True) if name}
        found.append((number, {name: "" if text in _MISSING else text for name, text in values.items()}))
    return found
