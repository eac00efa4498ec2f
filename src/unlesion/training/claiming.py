"""Which training a folder belongs to: none is written over, and none goes on with other settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unlesion.errors import BadInput
from unlesion.files import read_json, write_json


def claim(out: Path, identity: Mapping[str, Any], resume: bool) -> None:
    """Make sure that `out` is free, or holds an interrupted run of just this kind."""
    marker = out / "training.json"
    if not resume:
        # A marker alone is left by a training that failed before it learnt anything.
        if (out / "detector.json").exists() or any((out / "checkpoints").glob("*")):
            raise BadInput(f"{out}: holds a run already; choose another --out, or go on with --resume")
        write_json(marker, identity)
        return
    if not marker.exists():
        write_json(marker, identity)
        return
    before = read_json(marker)
    for name, value in identity.items():
        # A name that is missing was not yet written down when the run was begun.
        if before.get(name, value) != value:
            raise BadInput(
                f"{out}: was begun with another {name} ({before.get(name)!r}, now {value!r}); "
                "resume with the same settings or choose another --out"
            )
