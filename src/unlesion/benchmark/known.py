"""Results worth keeping: one JSON file a row, found again by everything that decides the numbers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unlesion.files import read_json, write_json


class KnownResults:
    """A folder of rows, such as `benchmarks/results/`.

    A row is recognised by a digest of its identity: method, version of the method's code, settings,
    recipe, cohorts, seed and budget. Whatever changes one of them makes a new row.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def path(self, identity: Mapping[str, Any]) -> Path | None:
        """Where the row of this identity lies or would lie."""
        if self.folder is None:
            return None
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
        name = f"{identity['label']}-seed{identity['seed']}-{digest}.json"
        return self.folder / str(identity["cohort_label"]) / name

    def find(self, identity: Mapping[str, Any]) -> dict[str, Any] | None:
        """The row, or None."""
        path = self.path(identity)
        if path is None or not path.exists():
            return None
        row: dict[str, Any] = read_json(path)
        return row

    def keep(self, identity: Mapping[str, Any], row: Mapping[str, Any]) -> None:
        """Write the row."""
        path = self.path(identity)
        if path is not None:
            write_json(path, dict(row))
