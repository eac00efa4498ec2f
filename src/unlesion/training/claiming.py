"""Which training a folder belongs to: none is written over, and none goes on with other settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unlesion.errors import BadInput
from unlesion.files import read_json, write_json

# What makes a run this training and no other.
MARKER = "training.json"


def is_finished(out: Path) -> bool:
    """Whether a folder holds a whole run: its `detector.json` is written last."""
    return (out / "detector.json").exists()


def claim(out: Path, identity: Mapping[str, Any], resume: bool) -> None:
    """Make sure that `out` is free, or holds a run of just this kind, interrupted or finished.

    Args:
        out: folder of the run.
        identity: what makes it this training and no other, as plain JSON.
        resume: whether to go on with what is there.

    Raises:
        BadInput: a run is there that this training may not go on with.
    """
    marker = out / MARKER
    if not resume:
        # A marker alone is left by a training that failed before it learnt anything.
        if is_finished(out) or any((out / "checkpoints").glob("*")):
            raise BadInput(f"{out}: holds a run already; choose another --out, or go on with --resume")
        write_json(marker, identity)
        return
    if not marker.exists():
        if is_finished(out):
            # Such as one that `calibrate` wrote.
            raise BadInput(f"{out}: holds a run that no training here began; choose another --out")
        write_json(marker, identity)
        return
    before = read_json(marker)
    for name, value in identity.items():
        # A name that is missing was not yet written down when the run was begun.
        if before.get(name, value) != value:
            look = ": check --where, --channels and whether files changed" if name == "cohort" else ""
            raise BadInput(
                f"{out}: was begun with another {name} ({before.get(name)!r}, now {value!r}){look}; "
                "resume with the same settings or choose another --out"
            )


class OtherScans(BadInput):
    """A training was begun with other scans, or files that are newer than those."""


def hold_to(out: Path, name: str, value: str) -> None:
    """Write down one more thing that makes a training this one; refuse another value on going on.

    Raises:
        OtherScans: it was another one before.
    """
    marker = out / MARKER
    begun = read_json(marker)
    if begun.get(name, value) != value:
        raise OtherScans(
            f"{out}: was begun with other {name} (other scans could be prepared then, or files are newer); see unlesion.log, mend them, or choose another "
            "--out"
        )
    if name not in begun:
        write_json(marker, {**begun, name: value})
