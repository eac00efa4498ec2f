"""Results worth keeping: one JSON file a row, found again by everything that decides the numbers."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unlesion.files import read_json, whole_folder, write_json

# What `compare` reads of an evaluation.
EVIDENCE = ("histograms.npz", "metrics.json")

# More than this is not worth keeping beside a row, in a repository.
LARGEST_EVIDENCE = 2**20


class KnownResults:
    """A folder of rows, such as `benchmarks/results/`.

    A row is recognised by a digest of its identity: method, version of the method's code, settings,
    recipe, cohorts, seed and budget. Whatever changes one of them makes a new row. What `compare` needs of
    the row's evaluation lies beside it, in a folder of the same name, unless it is large.
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

    def evidence(self, identity: Mapping[str, Any]) -> Path | None:
        """The folder with what `compare` needs of the row's evaluation, or None if that was not kept."""
        path = self.path(identity)
        if path is None:
            return None
        folder = path.with_suffix("")
        return folder if all((folder / name).is_file() for name in EVIDENCE) else None

    def keep(
        self, identity: Mapping[str, Any], row: Mapping[str, Any], *, evaluation: Path | None = None
    ) -> None:
        """Write the row, and beside it what `compare` needs of the folder `evaluation` if that is small."""
        path = self.path(identity)
        if path is None:
            return
        folder = path.with_suffix("")
        files = [] if evaluation is None else [evaluation / name for name in EVIDENCE]
        size = sum(file.stat().st_size for file in files)
        if files and size <= LARGEST_EVIDENCE:
            with whole_folder(folder) as partial:
                for file in files:
                    shutil.copyfile(file, partial / file.name)
        elif folder.exists():
            # Of an earlier measurement: it would not belong to this row.
            shutil.rmtree(folder)
        write_json(path, dict(row))
