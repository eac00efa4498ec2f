"""What a command tells: in the log file of its folder, and of options that had nothing to act on."""

from __future__ import annotations

import errno
import logging
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.cohorts import write_pictures
from unlesion.cli.console import Console, close_log


def test_the_error_that_ended_a_command_is_in_its_log(unlesion: Command, tmp_path: Path) -> None:
    manifest = write_pictures(tmp_path / "cohort", train=2, val=1, healthy=0, anomalous=0)
    (manifest.parent / "s01.png").write_bytes(b"")
    store = tmp_path / "store"
    said = unlesion("prepare", manifest, "--recipe", "slices", "--jobs", 1, "--out", store)
    assert said.code == 2
    lines = (store / "unlesion.log").read_text().splitlines()
    assert "ERROR" in lines[-1]
    assert lines[-1].endswith(said.complaint.removeprefix("unlesion: "))
    # The next command fails before it has a folder: its error is not the first one's.
    assert unlesion("prepare", tmp_path / "nowhere", "--out", tmp_path / "other").code == 2
    assert (store / "unlesion.log").read_text().splitlines() == lines


def test_a_volume_that_no_scan_has_is_told(
    unlesion: Command, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    image = pictures.parent / "s12.png"
    words = ["detect", trained, image, "--jobs", 1, "--quiet"]
    said = unlesion(*words, "--volume", 2, "--out", tmp_path / "two")
    assert said.code == 0
    assert "--volume 2: 1 of 1 scans hold a single volume" in said.err
    assert "volume 2 was asked for" in (tmp_path / "two" / "scores.csv").read_text()
    assert unlesion(*words, "--volume", 0, "--out", tmp_path / "first").err == ""
    store = tmp_path / "store"
    assert unlesion("prepare", image, "--recipe", "slices", "--jobs", 1, "--out", store).code == 0
    said = unlesion("detect", trained, store, "--volume", 0, "--out", tmp_path / "stored")
    assert said.code == 2
    assert "prepared store" in said.complaint


def test_a_log_that_cannot_be_written_is_no_second_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk every line of the log came with a traceback."""
    console = Console(quiet=False, out=tmp_path)
    (handler,) = logging.getLogger("unlesion").handlers
    assert isinstance(handler, logging.FileHandler)

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(handler.stream, "write", full)
    console.tell("still heard")
    assert capsys.readouterr().err == "still heard\n"
    monkeypatch.undo()
    close_log()
