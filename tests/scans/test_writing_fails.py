"""Results appear whole or not at all, and say why not."""

from __future__ import annotations

import errno
import os
import tempfile

import numpy as np
import pytest

from unlesion.scans import read_scan, write_binary, write_float, write_picture


@pytest.fixture(params=["nifti", "picture"])
def scan(request, save_nifti, save_picture, asymmetric):
    return read_scan(
        save_nifti("x.nii.gz", asymmetric) if request.param == "nifti" else save_picture("x.png")
    )


def writers(scan, stem):
    return (
        lambda: write_float(stem, scan.voxels, scan.grid),
        lambda: write_binary(stem, scan.voxels[0] > 3, scan.grid),
        lambda: write_picture(stem, scan.voxels[0, :, :, 0], low=0, high=1),
    )


def test_a_file_in_the_place_of_the_folder(scan, tmp_path, refuses):
    (tmp_path / "out").write_text("in the way")
    for write in writers(scan, tmp_path / "out" / "deep" / "anomaly"):
        refuses(write, tmp_path / "out", "cannot be written")


def test_no_permission(scan, tmp_path, refuses, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    for write in writers(scan, tmp_path / "out" / "anomaly"):
        refuses(write, "anomaly", "Permission denied", "--out")


def test_disk_full(scan, tmp_path, refuses, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    stem = tmp_path / "out" / "anomaly"
    with monkeypatch.context() as patch:
        import nibabel
        from PIL import Image

        for owner, name in ((nibabel, "save"), (np, "save"), (Image.Image, "save")):
            patch.setattr(owner, name, full)
        for write in writers(scan, stem):
            refuses(write, "anomaly", "No space left", "free some space")
    assert list(stem.parent.iterdir()) == []


def test_an_interrupt_leaves_the_old_file(scan, tmp_path, monkeypatch):
    stem = tmp_path / "anomaly"
    (written,) = write_float(stem, scan.voxels, scan.grid)
    before = written.read_bytes()

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_float(stem, scan.voxels * 2, scan.grid)
    assert written.read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".part-")]


def test_arrays_of_another_shape_are_our_mistake(scan, tmp_path):
    before = set(tmp_path.iterdir())
    with pytest.raises(ValueError, match="shape"):
        write_float(tmp_path / "y", scan.voxels[0, 1:], scan.grid)
    assert set(tmp_path.iterdir()) == before
