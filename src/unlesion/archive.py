"""Arrays in `.npz` archives; apart from other files, so that who only reads those need not wait for NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlesion.files import whole_file


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], *, compressed: bool = False) -> None:
    """Write arrays of any shapes into one `.npz` archive, whole or not at all.

    Raises:
        BadInput: the folder cannot be written, or the disk is full.
    """
    save = np.savez_compressed if compressed else np.savez
    with whole_file(path) as partial:
        # By its path: an archive that was interrupted can still close a file of its own, not one closed before it.
        save(partial, **arrays)  # type: ignore[arg-type]
