"""A small prepared store and a way to train on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cohorts import write_pictures


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of a small cohort of pictures."""
    return write_pictures(tmp_path_factory.mktemp("pictures"))
