"""A plain folder of images, or a single image, as rows of a cohort."""

from __future__ import annotations

import os
from pathlib import Path

from unlesion.errors import BadInput
from unlesion.scans.formats import ENDINGS, ending_of, without_ending
from unlesion.scans.manifest import Row


def rows_of_folder(root: Path) -> list[Row]:
    """Every image below a folder, in the order of their names; hidden files are left out.

    The subject is the first folder below `root`, or the file's own name where it lies in `root` itself.

    Raises:
        BadInput: the folder cannot be read, or holds no image.
    """
    found = []
    try:
        for folder, folders, names in os.walk(root, onerror=_raise, followlinks=False):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            relative = Path(folder).relative_to(root)
            found += [
                (relative / name).as_posix() for name in names if ending_of(name) and not name.startswith(".")
            ]
    except OSError as error:
        raise BadInput(
            f"{root}: the folder cannot be read ({error.strerror}); check its permissions"
        ) from error
    if not found:
        raise BadInput(f"{root}: the folder holds no image; put {', '.join(ENDINGS)} files in it")
    return [row_of_image(path, number) for number, path in enumerate(sorted(found), start=1)]


def row_of_image(path: str, number: int = 1) -> Row:
    """The row of an image at a path relative to its cohort."""
    first, slash, _ = path.partition("/")
    return Row(number, {"path": path, "subject": first if slash else without_ending(path)})


def _raise(error: OSError) -> None:
    raise error
