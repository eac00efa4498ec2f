from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unlesion.archive import write_arrays


def test_arrays_of_an_interrupted_archive_end_as_ctrl_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = zipfile.ZipFile.open

    def interrupted(*words: Any, **options: Any) -> Any:
        # Ctrl-C between the opening of an array in the archive and its first byte.
        opened.append(begin(*words, **options))
        raise KeyboardInterrupt

    opened: list[Any] = []
    monkeypatch.setattr(zipfile.ZipFile, "open", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_arrays(tmp_path / "a.npz", {"a": np.zeros(3)})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("compressed", [False, True])
def test_arrays_come_back(tmp_path: Path, compressed: bool) -> None:
    write_arrays(tmp_path / "a.npz", {"a": np.arange(6).reshape(2, 3)}, compressed=compressed)
    with np.load(tmp_path / "a.npz") as archive:
        assert archive["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
