"""Tables of a public dataset about its people: age, sex and the like."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unlesion.errors import BadInput
from unlesion.scans.checks import reason

# What tables write where nothing is known.
_MISSING = frozenset({"", "na", "n/a", "nan", "none", "null"})


def as_it_is(value: str) -> str:
    """The value itself."""
    return value


@dataclass(frozen=True, kw_only=True)
class PeopleTable:
    """A CSV file of a dataset with a row a person.

    Attributes:
        file: regular expression of its name, whatever the case.
        subject: its column that says who it is.
        columns: our column by theirs, and how their values are read ("" where they say nothing).
        read_subject: how `subject` is read.
    """

    file: str
    subject: str
    columns: Mapping[str, tuple[str, Callable[[str], str]]]
    read_subject: Callable[[str], str] = as_it_is

    def of(self, files: Sequence[Path]) -> tuple[dict[str, dict[str, str]], list[str]]:
        """What the table says, by subject, and warnings; nothing where none of the files is it.

        Where rows of one subject contradict each other, nothing is said.

        Raises:
            BadInput: a table is not readable.
        """
        found: dict[str, dict[str, str]] = {}
        warnings = []
        for path in files:
            if not re.fullmatch(self.file, path.name, re.IGNORECASE):
                continue
            rows, lacking = _rows(path, [self.subject, *self.columns])
            if lacking:
                warnings.append(f"{path}: no column {lacking[0]!r}, so it is not read; is it another table?")
            for row in rows:
                known = found.setdefault(self.read_subject(row[self.subject]), {})
                for theirs, (ours, read) in self.columns.items():
                    value = "" if row[theirs].lower() in _MISSING else read(row[theirs])
                    if value:
                        known[ours] = value if known.get(ours, value) == value else ""
        return found, warnings


def _rows(path: Path, needed: Sequence[str]) -> tuple[list[dict[str, str]], list[str]]:
    """The needed columns of a table, separated by commas, or by semicolons as some spreadsheets save it.

    Returns:
        The rows, and which columns are lacking; then there are no rows.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        first = text.partition("\n")[0]
        separator = ";" if first.count(";") > first.count(",") else ","
        table = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(
            f"{path}: not readable as a table in UTF-8 ({reason(error)}); save it again as CSV"
        ) from error
    header = [name.strip() for name in table[0]] if table else []
    lacking = [name for name in needed if name not in header]
    if lacking:
        return [], lacking
    places = {name: header.index(name) for name in needed}
    rows = [
        {name: fields[place].strip() if place < len(fields) else "" for name, place in places.items()}
        for fields in table[1:]
        if any(field.strip() for field in fields)
    ]
    return rows, []
