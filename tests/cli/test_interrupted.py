"""Ctrl-C in prepare and detect: what was finished is kept, nothing half done is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.cohorts import write_pictures

ROOT = Path(__file__).resolve().parents[2]

# The same command line, with every scan made slow enough to be interrupted between two.
SLOWED = """
import time
from unlesion.scans import Entry
read = Entry.read
def slowly(self):
    time.sleep(0.05)
    return read(self)
Entry.read = slowly
from unlesion.cli import main
main()
"""


def finished(folder: Path, pattern: str) -> list[Path]:
    """Files that are there to stay: what is being written lies in hidden places until it is whole."""
    return [path for path in folder.rglob(pattern) if ".part-" not in str(path.relative_to(folder))]


def interrupt(words: list[object], when: object) -> subprocess.CompletedProcess[str]:
    """Start a command, press Ctrl-C once `when()` is true."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLOWED, *map(str, words)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        # A test run in the background ignores Ctrl-C, and its children would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    for _ in range(6000):
        if when() or process.poll() is not None:  # type: ignore[operator]
            break
        time.sleep(0.01)
    assert process.poll() is None, process.communicate()[1]
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(words, process.returncode, out, err)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("many"), train=0, val=0, healthy=60, anomalous=0)


def test_prepare(unlesion: Command, many: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    words = ["prepare", many, "--recipe", "slices", "--out", store, "--jobs", 1]
    ended = interrupt(words, lambda: len(finished(store, "*.npz")) >= 3)
    assert ended.returncode == 130, ended.stderr
    assert "interrupted" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (store / "index.json").exists()
    assert not list(store.rglob(".part-*"))
    kept = {p.name: p.stat().st_mtime_ns for p in store.rglob("*.npz")}
    assert kept
    assert unlesion(*words).code == 0
    assert (store / "index.json").exists()


def test_detect(unlesion: Command, trained: Path, many: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["detect", trained, many, "--out", out, "--jobs", 1]
    ended = interrupt(words, lambda: len(finished(out, "detection.json")) >= 3)
    assert ended.returncode == 130, ended.stderr
    assert "Traceback" not in ended.stderr
    assert not list(out.rglob(".part-*"))
    done = len(list(out.rglob("detection.json")))
    assert 3 <= done < 60
    said = unlesion(*words)
    assert said.code == 0
    assert "of 60 scans done already" in said.err
