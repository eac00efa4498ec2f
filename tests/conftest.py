"""What several rooms' tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with real images (`manifest.csv` in it), or a skip that says why."""
    folder = Path(os.environ.get("UNLESION_REAL_DATA") or _ROOT / ".." / "shared" / "data")
    if not (folder / "manifest.csv").is_file():
        pytest.skip(f"no real images: {folder}/manifest.csv is not there (set UNLESION_REAL_DATA)")
    return folder.resolve()
