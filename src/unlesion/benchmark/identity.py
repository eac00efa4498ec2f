"""What a run and an evaluation of a benchmark were made from, kept beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unlesion.errors import BadInput
from unlesion.files import read_json

IDENTITY = "identity.json"
# The same of an evaluation without some of its scans, which is made again when they can be used.
OF_PART = "identity-of-a-part.json"


def differences(folder: Path, identity: Mapping[str, Any]) -> str:
    """The names of what a run was made from otherwise, such as "recipe, training.batch"."""
    try:
        before = read_json(folder / IDENTITY)
    except BadInput:
        return "which ones is not known"
    names = []
    for name in sorted({*before, *identity}):
        old, new = before.get(name), identity.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            names += [f"{name}.{part}" for part in sorted({*old, *new}) if old.get(part) != new.get(part)]
        elif old != new:
            names.append(name)
    return ", ".join(names)


def is_of(folder: Path, identity: Mapping[str, Any], *, name: str = IDENTITY) -> bool:
    """Whether a run or an evaluation was made from just this."""
    try:
        return bool(read_json(folder / name) == identity)
    except BadInput:
        return False
