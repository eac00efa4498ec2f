"""What files say that they hold."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unlesion.scans import Cohort
from unlesion.scans.content import content_of, length_of

LOUD = np.random.default_rng(0).integers(0, 256, (40, 50), np.uint8)


def picture(path: Path, pixels: np.ndarray, *, level: int = 6) -> int | str:
    Image.fromarray(pixels).save(path, compress_level=level)
    return content_of(path)


def test_of_pictures_it_hangs_on_pixels_not_on_how_they_were_compressed(tmp_path):
    smooth = np.add.outer(np.arange(90), np.arange(80)).astype(np.uint8)
    first = picture(tmp_path / "a.png", smooth, level=1)
    assert picture(tmp_path / "b.png", smooth, level=9) == first
    assert (tmp_path / "a.png").stat().st_size != (tmp_path / "b.png").stat().st_size
    other = smooth.copy()
    other[40, 40] += 1
    assert picture(tmp_path / "c.png", other) != first
    assert picture(tmp_path / "d.png", smooth.T) != first
    assert picture(tmp_path / "e.png", smooth.astype(np.uint16)) != first


def test_the_checksum_is_found_in_chunks_of_any_length(tmp_path):
    whole = tmp_path / "whole.png"
    first = picture(whole, LOUD)
    raw = whole.read_bytes()
    at = raw.index(b"IDAT")
    size = int.from_bytes(raw[at - 4 : at], "big")
    data = raw[at + 4 : at + 4 + size]
    for cut in (1, 2, 3, 4, 5):
        parts = [data[:-cut], data[-cut:]]
        chunks = b"".join(
            len(part).to_bytes(4, "big") + b"IDAT" + part + zlib.crc32(b"IDAT" + part).to_bytes(4, "big")
            for part in parts
        )
        split = tmp_path / "split.png"
        split.write_bytes(raw[: at - 4] + chunks + raw[at + 8 + size :])
        assert np.array_equal(np.asarray(Image.open(split)), LOUD)
        assert content_of(split) == first


def test_of_gzip_it_hangs_on_what_is_packed(tmp_path):
    def packed(data: bytes, level: int) -> int | str:
        path = tmp_path / "scan.nii.gz"
        path.write_bytes(gzip.compress(data, level, mtime=level))
        return content_of(path)

    data = b"healthy " * 1000
    assert packed(data, 1) == packed(data, 9) != packed(data.replace(b"h", b"H", 1), 9)


@pytest.mark.parametrize("name", ["a.png", "a.nii.gz", "a.nii", "a.dcm"])
def test_of_anything_else_it_is_of_the_bytes(tmp_path, name):
    path = tmp_path / name
    assert content_of(path) == -1
    path.write_bytes(b"no such format" * 3)
    before = content_of(path)
    assert isinstance(before, str)
    path.write_bytes(b"no such Format" * 3)
    assert content_of(path) != before
    path.write_bytes(b"no such format" * 4)
    assert content_of(path) != before
    path.write_bytes(b"")
    assert content_of(path) == 0


def test_half_a_picture_is_no_picture(tmp_path):
    path = tmp_path / "a.png"
    picture(path, LOUD)
    whole = path.read_bytes()
    for end in (9, 20, 60, len(whole) - 5):
        path.write_bytes(whole[:end])
        told = content_of(path)
        path.write_bytes(whole[: end - 1] + b"?")
        assert content_of(path) != told


def test_of_a_large_file_pieces_are_read(tmp_path):
    path = tmp_path / "a.nii"
    data = bytearray(np.random.default_rng(0).bytes(4 * 2**20))
    path.write_bytes(data)
    first = content_of(path)
    assert content_of(path) == first
    for place in (0, len(data) - 1):
        changed = data.copy()
        changed[place] ^= 1
        path.write_bytes(changed)
        assert content_of(path) != first
    assert content_of(tmp_path) == 0


def test_a_run_from_before_still_knows_its_cohort(tmp_path: Path) -> None:
    """By the lengths of files, or it would be measured on scans that it has learnt."""
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", np.arange(30.0).reshape(5, 6))
    cohort = Cohort.open(tmp_path)
    lengths = cohort._digest(length_of)
    assert cohort.is_of(lengths) and cohort.is_of(cohort.digest) and lengths != cohort.digest
    assert not cohort.is_of(None) and not cohort.is_of("0" * 16)


def test_content_is_read_once_as_long_as_a_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(b"one")
    first = content_of(path)
    monkeypatch.setattr(Path, "open", None)
    assert content_of(path) == first
    monkeypatch.undo()
    path.write_bytes(b"two")
    os.utime(path, ns=(1, 1))
    assert content_of(path) != first
