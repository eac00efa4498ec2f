"""What several rooms' tests share."""

from __future__ import annotations

import os
from pathlib import Path

# Files of tests run side by side, one on each core; and sums over one thread are the same on every machine. What tests start
# inherits it; before torch is imported, which reads it once.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest

_ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with real images (`manifest.csv` in it), or a skip that says why."""
    folder = Path(os.environ.get("UNLESION_REAL_DATA") or _ROOT / ".." / "shared" / "data")
    if not (folder / "manifest.csv").is_file():
        pytest.skip(f"no real images: {folder}/manifest.csv is not there (set UNLESION_REAL_DATA)")
    return folder.resolve()
