"""Choosing one image of a file that holds several."""

from __future__ import annotations

from pathlib import Path

from unlesion.errors import BadInput


def chosen_volume(path: Path, count: int, volume: int | None) -> int:
    """The index of the volume to read.

    Args:
        path: for the message.
        count: how many the file holds.
        volume: the user's choice, counted from 0; None is fine where there is only one.

    Raises:
        BadInput: no choice among several, or a choice that is not there.
    """
    if count == 1:
        return 0
    if count == 0:
        raise BadInput(f"{path}: holds no volumes; export the image again")
    if volume is None:
        raise BadInput(f"{path}: holds {count} volumes; choose one with --volume 0 to {count - 1}")
    if not 0 <= volume < count:
        raise BadInput(f"{path}: has no volume {volume}; choose one with --volume 0 to {count - 1}")
    return volume
