"""Prints of scans: by which a run recognises those that it has met, wherever they lie now."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from unlesion.scans.entry import Entry

# So many blocks, evenly spread, stand for a file: reading volumes twice would take as long as preparing them.
BLOCKS, BLOCK = 8, 4096
DIGITS = 12


def prints_of(entries: Iterable[Entry]) -> dict[str, str]:
    """By key, 12 hex digits of the SHA-256 of what lies in the files of a scan, whatever they are called.

    They say nothing about a scan to those who do not have it. A scan of a prepared store has the print of the files
    that it was prepared from. Left out are scans of older stores, which do not know it, scans whose files cannot be
    read, and those that share a file with others, which it does not tell apart.
    """
    entries = list(entries)
    sharing = Counter((entry.images, entry.volume) for entry in entries)
    found = {}
    for entry in entries:
        if entry.known_print:
            found[entry.key] = entry.known_print
            continue
        if not entry.files or sharing[entry.images, entry.volume] > 1:
            continue
        digest = hashlib.sha256(str(entry.volume).encode())
        try:
            for file in entry.images:
                _add(digest, file)
        except OSError:
            continue
        found[entry.key] = digest.hexdigest()[:DIGITS]
    return found


def state_of(path: Path) -> list[str | int]:
    """Name, length and time of a file: changes with it, without reading it; -1 for what is not there, as reading it will say."""
    try:
        state = path.stat()
    except OSError:
        return [path.name, -1, -1]
    return [path.name, state.st_size, state.st_mtime_ns]


def _add(digest: hashlib._Hash, file: Path) -> None:
    size = file.stat().st_size
    digest.update(str(size).encode())
    with file.open("rb") as stream:
        for number in range(BLOCKS):
            stream.seek(number * max(0, size - BLOCK) // (BLOCKS - 1))
            digest.update(stream.read(BLOCK))
