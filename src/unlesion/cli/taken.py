"""Folders that hold another verb's output, or something written by hand."""

from __future__ import annotations

from pathlib import Path

from unlesion.errors import BadInput

# By these outputs are known; the verb's own is no obstacle.
_OUTPUTS = (
    "metrics.json",
    "leaderboard.csv",
    "scores.csv",
    "detector.json",
    "training.json",
    "index.json",
    "compare.json",
    "align.json",
    "manifest.csv",
)


def refuse_taken(out: Path, own: str) -> None:
    """Refuse an output folder that holds anything that would be replaced or mixed up.

    Args:
        out: the folder; it may be missing.
        own: the file by which the verb knows its own output; where that is, the verb may write again.

    Raises:
        BadInput: it holds something of another's.
    """
    if (out / own).exists():
        return
    found = next((name for name in _OUTPUTS if (out / name).exists()), None)
    if found is not None:
        raise BadInput(f"--out {out}: holds something else already ({found}); choose another folder")
