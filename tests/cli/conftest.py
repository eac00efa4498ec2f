"""The command line on a small cohort."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cohorts import write_pictures
from unlesion.cli.app import run


@dataclass(frozen=True)
class Said:
    """What a command did: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line of a failed command."""
        lines = [line for line in self.err.splitlines() if line.startswith("unlesion: ")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        return lines[0]


Command = Callable[..., Said]


@pytest.fixture
def unlesion(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command in this process."""

    def call(*words: object) -> Said:
        capsys.readouterr()
        code = run([str(word) for word in words])
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of a small cohort of pictures."""
    return write_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="session")
def trained(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a small denoising autoencoder on the pictures."""
    out = tmp_path_factory.mktemp("trained") / "run"
    words = [
        "train",
        pictures,
        "--method",
        "dae",
        "--preset",
        "tiny",
        "--steps",
        60,
        "--out",
        out,
        "--jobs",
        1,
    ]
    assert run([str(word) for word in words]) == 0
    return out
