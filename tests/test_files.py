from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from unlesion.errors import BadInput
from unlesion.files import read_json, whole_file, whole_folder, whole_set, write_json, write_text
from unlesion.phantom.implant.files import link_or_copy


def hidden(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_a_file_appears_whole(tmp_path):
    path = tmp_path / "a" / "x.nii.gz"
    with whole_file(path) as partial:
        assert partial.parent == path.parent
        assert partial.name.endswith(".x.nii.gz")
        partial.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert hidden(path.parent) == []


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, BadInput])
def test_or_not_at_all(error, tmp_path):
    path = tmp_path / "x.txt"
    write_text(path, "old")
    with pytest.raises(error), whole_file(path) as partial:
        partial.write_text("half")
        raise error("stop")
    assert path.read_text() == "old"
    assert hidden(tmp_path) == []


def test_files_are_as_readable_as_any_other(tmp_path):
    (tmp_path / "plain").touch()
    write_text(tmp_path / "x", "text")
    # As writers do that put another, private file in its place.
    with whole_file(tmp_path / "y") as partial:
        partial.chmod(0o600)
    assert (tmp_path / "y").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


@pytest.mark.parametrize("whole", [whole_file, whole_folder])
def test_a_full_disk_is_one_line(whole, tmp_path):
    with pytest.raises(BadInput, match="No space left") as caught, whole(tmp_path / "x"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("whole", [whole_file, whole_folder])
def test_a_file_where_a_folder_should_be(whole, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="cannot be written"), whole(tmp_path / "file" / "x"):
        pass


@pytest.mark.parametrize("whole", [whole_file, whole_folder])
def test_no_permission(whole, tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(BadInput, match="Permission denied"), whole(tmp_path / "x"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_replaces_the_old_one_whole(tmp_path):
    path = tmp_path / "out"
    for text in ("one", "two"):
        with whole_folder(path) as partial:
            (partial / text).write_text(text)
    assert [file.name for file in path.iterdir()] == ["two"]
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("failing", [1, 2])
def test_the_old_folder_survives_a_failed_move(failing, tmp_path, monkeypatch):
    path = tmp_path / "out"
    with whole_folder(path) as partial:
        (partial / "old").touch()
    real, calls = os.replace, []

    def fail_once(source, target):
        calls.append(target)
        if len(calls) == failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(source, target)

    monkeypatch.setattr(os, "replace", fail_once)
    with pytest.raises(BadInput), whole_folder(path) as partial:
        (partial / "new").touch()
    assert [file.name for file in path.iterdir()] == ["old"]
    assert hidden(tmp_path) == []


def test_a_folder_does_not_replace_a_file(tmp_path):
    (tmp_path / "x").write_text("mine")
    with pytest.raises(BadInput, match="in the way"), whole_folder(tmp_path / "x"):
        pass
    assert (tmp_path / "x").read_text() == "mine"
    assert hidden(tmp_path) == []


def test_a_set_replaces_the_old_one_whole_and_leaves_other_files(tmp_path):
    names = ("a.csv", "b.npz", "last.json")
    write_text(tmp_path / "b.npz", "old")
    write_text(tmp_path / "last.json", "old")
    write_text(tmp_path / "page.html", "another's")
    with whole_set(tmp_path, names) as new:
        (new / "a.csv").write_text("new")
        (new / "last.json").write_text("new")
        assert (tmp_path / "last.json").read_text() == "old"
    there = {path.name: path.read_text() for path in tmp_path.iterdir()}
    # What the new set lacks is not left over from the old one.
    assert there == {"a.csv": "new", "last.json": "new", "page.html": "another's"}


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, BadInput])
def test_a_set_that_fails_leaves_the_old_one(error, tmp_path):
    write_text(tmp_path / "last.json", "old")
    with pytest.raises(error), whole_set(tmp_path, ("a.csv", "last.json")) as new:
        (new / "a.csv").write_text("half")
        raise error("stop")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"last.json": "old"}


def test_a_set_that_cannot_be_moved_does_not_look_whole(tmp_path, monkeypatch):
    write_text(tmp_path / "last.json", "old")

    def full(old, new):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(BadInput, match="No space"), whole_set(tmp_path, ("a.csv", "last.json")) as new:
        (new / "a.csv").write_text("new")
        (new / "last.json").write_text("new")
        monkeypatch.setattr(os, "replace", full)
    assert list(tmp_path.iterdir()) == []


def test_json_round_trip_and_refusals(tmp_path):
    write_json(tmp_path / "x.json", {"a": [1, None, "ü"]})
    assert read_json(tmp_path / "x.json") == {"a": [1, None, "ü"]}
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", float("nan"))
    assert read_json(tmp_path / "x.json") == {"a": [1, None, "ü"]}
    (tmp_path / "bad.json").write_bytes(b"\xff{")
    for name in ("bad.json", "missing.json"):
        with pytest.raises(BadInput, match=name):
            read_json(tmp_path / name)


def test_what_is_wrong_inside_a_block_is_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ours"), whole_file(tmp_path / "a"):
        raise ValueError("ours")


def test_what_is_linked_to_keeps_its_permissions(tmp_path: Path) -> None:
    """A hard link beside a patient's file made that file readable for everybody."""
    original = tmp_path / "private.nii.gz"
    original.write_bytes(b"scan")
    original.chmod(0o400)
    link_or_copy(original, tmp_path / "out" / "linked.nii.gz")
    assert original.stat().st_mode & 0o777 == 0o400
    assert (tmp_path / "out" / "linked.nii.gz").read_bytes() == b"scan"
