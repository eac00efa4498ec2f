"""Arrays in `.npz` archives and tensors in `.safetensors`; apart from other files, so that who only reads those need not wait for NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unlesion.errors import BadInput
from unlesion.files import whole_file

if TYPE_CHECKING:
    from torch import Tensor


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], *, compressed: bool = False) -> None:
    """Write arrays of any shapes into one `.npz` archive, whole or not at all.

    Raises:
        BadInput: the folder cannot be written, or the disk is full.
    """
    save = np.savez_compressed if compressed else np.savez
    with whole_file(path) as partial:
        # By its path: an archive that was interrupted can still close a file of its own, not one closed before it.
        save(partial, **arrays)  # type: ignore[arg-type]


def save_tensors(
    path: Path, tensors: Mapping[str, Tensor], *, metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors into one `.safetensors` file, whole or not at all.

    Args:
        path: the file.
        tensors: by name, of any shapes; none may share memory with another.
        metadata: words that go into the file's header.

    Raises:
        BadInput: the folder cannot be written, or the disk is full.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with whole_file(path) as partial:
        try:
            save_file(dict(tensors), partial, metadata=None if metadata is None else dict(metadata))
        except SafetensorError as error:
            # No OSError, though it is one's words that it holds.
            said = " ".join(str(error).split())
            raise BadInput(
                f"{path}: cannot be written ({said}); free some space or choose another --out"
            ) from error
