"""Is a file DICOM? Told by its first bytes, because its name often does not say."""

from __future__ import annotations

import os
from pathlib import Path

ENDINGS = (".dcm", ".dicom", ".ima")
"""Endings that promise DICOM, in lower case; most archives write none at all."""

# Without the preamble, a data set begins with an element of the group that identifies it (0008), or
# with a lone file header (0002), in either byte order.
_FIRST_GROUPS = (b"\x08\x00", b"\x00\x08", b"\x02\x00", b"\x00\x02")


def is_dicom(path: Path) -> bool:
    """Whether a file holds DICOM: the mark after the preamble, or an ending and a plausible first element.

    A file that cannot be opened is none.
    """
    try:
        with path.open("rb") as file:
            head = file.read(132)
    except OSError:
        return False
    if head[128:132] == b"DICM":
        return True
    if path.suffix.lower() not in ("", *ENDINGS) and not path.suffix[1:].isdigit():
        return False
    # An element of these groups has a small even-numbered tag and, in most files, a two-letter type.
    if len(head) < 132 or head[:2] not in _FIRST_GROUPS:
        return False
    return head[4:6].isupper() or head[2:4] in (b"\x00\x00", b"\x05\x00", b"\x08\x00", b"\x16\x00")


def files_below(folder: Path) -> list[Path]:
    """Every file below a folder in the order of their paths; hidden ones are left out, links are followed.

    Raises:
        OSError: the folder cannot be read.
    """
    found: list[Path] = []
    seen = {os.path.realpath(folder)}
    for place, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        shown = [name for name in folders if not name.startswith(".")]
        # A folder that links lead to as well is one, by its own name; a link to a folder above would never end.
        kept = []
        for name in sorted(shown, key=lambda name: (os.path.islink(os.path.join(place, name)), name)):
            target = os.path.realpath(os.path.join(place, name))
            if target not in seen:
                seen.add(target)
                kept.append(name)
        folders[:] = sorted(kept)
        found += [Path(place) / name for name in names if not name.startswith(".")]
    return sorted(found)


def _raise(error: OSError) -> None:
    raise error
