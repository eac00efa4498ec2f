"""Reading what a page is made from."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from unlesion.errors import BadInput


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file; none if there is no such file.

    Raises:
        BadInput: it is not readable.
    """
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            return [{k: v or "" for k, v in row.items() if k} for row in csv.DictReader(stream)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path}: not readable as CSV ({error}); make it again") from error


def real(text: object) -> float | None:
    """A finite number out of a CSV cell, or None."""
    try:
        value = float(str(text))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
