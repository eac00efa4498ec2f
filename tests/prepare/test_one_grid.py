"""Channels of a session on one grid: headers alone, registration, files, the verb."""

from __future__ import annotations

import csv
import errno
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from tests import bids
from tests.cli.conftest import Command, unlesion  # noqa: F401
from tests.report.test_pages import check
from unlesion.errors import BadInput
from unlesion.files import cannot_write
from unlesion.prepare.one_grid import on_one_grid
from unlesion.prepare.sessions import file_names
from unlesion.scans import Cohort, Entry

FINE, FINE_SHAPE = np.diag([2.0, 2.0, 2.0, 1.0]), (40, 44, 36)
# Another order of axes, other sizes, slices 5 mm apart.
THICK, THICK_SHAPE = np.array([[0, 0, -5.0, 82], [1.5, 0, 0, 2], [0, 1.5, 0, 1], [0, 0, 0, 1]]), (56, 46, 16)


def places(affine: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """(3, ...) world millimetres of all voxels."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"))
    return np.einsum("ab,b...->a...", affine[:3, :3], index) + affine[:3, 3].reshape(3, 1, 1, 1)


def ramp(where: NDArray[np.float64]) -> NDArray[np.float64]:
    """Grey values that linear interpolation leaves exactly as they are."""
    return 100 + 2.0 * where[0] - 1.0 * where[1] + 0.5 * where[2]


def head(where: NDArray[np.float64]) -> NDArray[np.float64]:
    """A lopsided head of blobs."""
    out = np.zeros(where.shape[1:])
    for centre, width, height in (
        ((40, 44, 36), 18, 80),
        ((28, 50, 40), 6, 70),
        ((52, 36, 30), 5, -60),
        ((42, 60, 24), 4, 90),
        ((34, 30, 50), 5, 60),
    ):
        away = sum((where[axis] - centre[axis]) ** 2 for axis in range(3))
        out += height * np.exp(-away / (2 * width**2))
    return out


def save(path: Path, values: NDArray[np.generic], affine: NDArray[np.float64]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.asarray(values, dtype=np.float32), affine), path)
    return path


def session(folder: Path, **more: Path) -> Entry:
    return Entry(
        key="s", paths=(folder / "t1.nii.gz", folder / "fl.nii.gz"), modality=("T1", "FLAIR"), **more
    )


def canonical(values: NDArray[np.float64], affine: NDArray[np.float64], path: Path) -> NDArray[np.float32]:
    from unlesion.scans import read_scan

    return read_scan(save(path, values, affine)).voxels[0]


def test_headers_alone_put_every_voxel_where_it_is(tmp_path: Path) -> None:
    save(tmp_path / "t1.nii.gz", ramp(places(FINE, FINE_SHAPE)), FINE)
    save(tmp_path / "fl.nii.gz", ramp(places(THICK, THICK_SHAPE)), THICK)
    joined = on_one_grid(session(tmp_path), register=False)
    first, second = joined.voxels
    # Beside its field a channel has its lowest value.
    inside = ndimage.binary_erosion(second != second.min(), iterations=2)
    assert inside.mean() > 0.5
    np.testing.assert_allclose(second[inside], first[inside], atol=1e-2)
    assert joined.moved_mm == joined.turned == (0.0, 0.0)
    assert joined.seen == (1.0, pytest.approx(0.834, abs=0.01))
    assert any("of the field of T1" in warning for warning in joined.warnings)


def test_a_mask_goes_with_the_channel_that_it_lies_on(tmp_path: Path) -> None:
    save(tmp_path / "t1.nii.gz", head(places(FINE, FINE_SHAPE)), FINE)
    where = places(THICK, THICK_SHAPE)
    save(tmp_path / "fl.nii.gz", head(where), THICK)
    lesion = 4.0 * (np.abs(where - np.array([40, 40, 36]).reshape(3, 1, 1, 1)).max(axis=0) < 8)
    mask = save(tmp_path / "mask.nii.gz", lesion, THICK)
    joined = on_one_grid(session(tmp_path, mask_path=mask), register=False)
    assert joined.mask is not None and set(np.unique(joined.mask)) == {0.0, 4.0}
    expected = np.abs(places(FINE, FINE_SHAPE) - np.array([40, 40, 36]).reshape(3, 1, 1, 1)).max(axis=0) < 8
    found = canonical(expected, FINE, tmp_path / "x.nii.gz") > 0
    overlap = 2 * (found & (joined.mask > 0)).sum() / (found.sum() + (joined.mask > 0).sum())
    # Slices of 5 mm: the ends may be half of one off.
    assert overlap > 0.75
    other = save(tmp_path / "other.nii.gz", lesion[1:], THICK)
    with pytest.raises(BadInput, match="none of the channels"):
        on_one_grid(session(tmp_path, mask_path=other), register=False)


def test_finer_detail_than_the_grid_holds_is_smoothed_away(tmp_path: Path) -> None:
    save(tmp_path / "t1.nii.gz", ramp(places(FINE, FINE_SHAPE)), FINE)
    fine = np.diag([0.5, 2.0, 2.0, 1.0])
    stripes = 100.0 + 50.0 * (np.indices((160, 44, 36))[0] % 2)
    save(tmp_path / "fl.nii.gz", stripes, fine)
    second = on_one_grid(session(tmp_path), register=False).voxels[1]
    middle = second[8:-8, 8:-8, 8:-8]
    assert abs(float(middle.mean()) - 125) < 1 and float(middle.std()) < 2


def test_a_turned_head_is_turned_back(tmp_path: Path) -> None:
    angle = np.radians(6)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    middle = np.array([39.0, 43.0, 35.0])
    shift = np.array([3.0, -2.0, 1.0])

    def moved(where: NDArray[np.float64]) -> NDArray[np.float64]:
        away = where - middle.reshape(3, 1, 1, 1)
        return np.einsum("ab,b...->a...", turn, away) + (middle + shift).reshape(3, 1, 1, 1)

    first = head(places(FINE, FINE_SHAPE))
    save(tmp_path / "t1.nii.gz", first, FINE)
    # Another contrast: dark where the other is bright.
    save(tmp_path / "fl.nii.gz", 200 - head(moved(places(THICK, THICK_SHAPE))), THICK)
    before = on_one_grid(session(tmp_path), register=False)
    after = on_one_grid(session(tmp_path), register=True)
    again = on_one_grid(session(tmp_path), register=True)

    def likeness(joined: object) -> float:
        one, two = joined.voxels  # type: ignore[attr-defined]
        inside = (two > 0) & (one > 20)
        return -float(np.corrcoef(one[inside], two[inside])[0, 1])

    assert likeness(after) > 0.97 > likeness(before)
    # Blobs say less of turns than folds do.
    assert after.turned[1] == pytest.approx(6, abs=1.5) and 2 < after.moved_mm[1] < 6
    np.testing.assert_array_equal(after.voxels[1], again.voxels[1])


def test_a_mask_moves_with_the_channel_that_it_was_drawn_on(tmp_path: Path) -> None:
    """Both channels have the same grid; the patient moved between them."""
    where = places(FINE, FINE_SHAPE)
    save(tmp_path / "t1.nii.gz", head(where), FINE)
    shift = np.array([0.0, 6.0, 0.0]).reshape(3, 1, 1, 1)
    save(tmp_path / "fl.nii.gz", 200 - head(where + shift), FINE)

    def cube(places: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.asarray(np.abs(places - np.array([28, 50, 40]).reshape(3, 1, 1, 1)).max(axis=0) < 7)

    mask = save(tmp_path / "mask.nii.gz", cube(where + shift), FINE)
    truth = canonical(cube(where), FINE, tmp_path / "truth.nii.gz") > 0

    def overlap(channel: int) -> float:
        joined = on_one_grid(session(tmp_path, mask_path=mask, mask_channel=channel), register=True)
        assert joined.mask is not None
        found = joined.mask > 0
        return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))

    assert overlap(1) > 0.8 > overlap(0)


def test_heads_whose_headers_lie_apart_meet_by_their_middles(tmp_path: Path) -> None:
    save(tmp_path / "t1.nii.gz", head(places(FINE, FINE_SHAPE)), FINE)
    away = FINE.copy()
    away[0, 3] = 5000
    save(tmp_path / "fl.nii.gz", 200 - head(places(FINE, FINE_SHAPE)), away)
    with pytest.raises(BadInput, match="--register"):
        on_one_grid(session(tmp_path), register=False)
    joined = on_one_grid(session(tmp_path), register=True)
    assert np.corrcoef(joined.voxels[0].ravel(), joined.voxels[1].ravel())[0, 1] < -0.95
    assert any("look whether it fits" in warning for warning in joined.warnings)


def test_what_a_header_does_not_say_is_said(tmp_path: Path) -> None:
    save(tmp_path / "t1.nii.gz", head(places(FINE, FINE_SHAPE)), FINE)
    bare = nib.Nifti1Image(head(places(FINE, FINE_SHAPE)).astype(np.float32), None)
    bare.header.set_zooms((2.0, 2.0, 2.0))
    nib.save(bare, tmp_path / "fl.nii.gz")
    joined = on_one_grid(session(tmp_path), register=True)
    assert any(w.startswith("fl.nii.gz: the header says nothing about orientation") for w in joined.warnings)


@pytest.mark.parametrize("register", [False, True])
def test_what_cannot_be_brought_together_is_refused(tmp_path: Path, register: bool) -> None:
    save(tmp_path / "t1.nii.gz", head(places(FINE, FINE_SHAPE)), FINE)
    roi = save(tmp_path / "roi.nii.gz", np.zeros(FINE_SHAPE), FINE)
    save(tmp_path / "fl.nii.gz", head(places(FINE, FINE_SHAPE)), FINE)
    with pytest.raises(BadInput, match="roi marks nothing"):
        on_one_grid(session(tmp_path, roi_path=roi), register=register)
    save(tmp_path / "fl.nii.gz", head(places(FINE, FINE_SHAPE))[:, :, 20:21], FINE)
    with pytest.raises(BadInput, match="single slice"):
        on_one_grid(session(tmp_path), register=register)
    np.save(tmp_path / "fl.npy", head(places(FINE, FINE_SHAPE)))
    entry = Entry(key="s", paths=(tmp_path / "t1.nii.gz", tmp_path / "fl.npy"), modality=("T1", "FLAIR"))
    with pytest.raises(BadInput, match="nothing of where it lies"):
        on_one_grid(entry, register=register)


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    root = tmp_path / "clinic"
    lines = ["path,mask_path,mask_values,subject,scan,modality,site"]
    for name in ("anna", "ben", "cleo"):
        save(root / name / "t1.nii.gz", head(places(FINE, FINE_SHAPE)), FINE)
        where = places(THICK, THICK_SHAPE)
        save(root / name / "fl.nii.gz", head(where), THICK)
        mask = ""
        if name == "ben":
            mask = "ben/mask.nii.gz"
            save(root / mask, np.abs(where - 40).max(axis=0) < 6, THICK)
        lines += [
            f"{name}/t1.nii.gz,,,{name},1,T1,north",
            f"{name}/fl.nii.gz,{mask},{'1' if mask else ''},{name},1,FLAIR,north",
        ]
    (root / "cleo" / "fl.nii.gz").write_bytes(b"broken")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    return root


def test_the_verb(clinic: Path, tmp_path: Path, unlesion: Command) -> None:  # noqa: F811
    out = tmp_path / "out"
    refused = unlesion("detect", tmp_path, clinic, "--channels", "T1,FLAIR", "--out", tmp_path / "no")
    assert refused.code == 2
    words = ("align", clinic, "--channels", "T1,FLAIR", "--jobs", 1)
    said = unlesion(*words, "--out", out)
    assert said.code == 2 and "1 of 3 scans could not be aligned" in said.complaint
    assert "cleo/fl.nii.gz" in said.err
    page = check(out / "report.html")
    assert "2 scans" in page.text and page.text.count("FLAIR") >= 4
    with (out / "manifest.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["path"] for row in rows] == [
        f"{name}/t1/{modality}.nii.gz" for name in ("anna", "ben") for modality in ("T1", "FLAIR")
    ]
    anna, ben = Cohort.open(out, channels=["T1", "FLAIR"])
    assert (anna.subject, anna.label, ben.label, ben.columns["site"]) == (
        "anna",
        "healthy",
        "anomalous",
        "north",
    )
    scan = ben.read()
    assert scan.voxels.shape[0] == 2 and scan.lesions is not None and scan.lesions.any()
    assert ben.mask_values == (1.0,)
    # What is there is not made again; what has changed is.
    record = out / "anna" / "t1" / "session.json"
    before = record.stat().st_mtime_ns
    save(clinic / "cleo" / "fl.nii.gz", head(places(THICK, THICK_SHAPE)), THICK)
    assert unlesion(*words, "--out", out).code == 0
    assert record.stat().st_mtime_ns == before and len(Cohort.open(out)) == 6
    assert unlesion(*words, "--out", out, "--register").code == 0
    assert record.stat().st_mtime_ns > before
    assert json.loads(record.read_text())["channels"][1]["moved_mm"] < 2


def test_what_is_there_is_what_is_meant(clinic: Path, tmp_path: Path, unlesion: Command) -> None:  # noqa: F811
    save(clinic / "cleo" / "fl.nii.gz", head(places(THICK, THICK_SHAPE)), THICK)
    out = tmp_path / "out"
    words = ("align", clinic, "--channels", "T1,FLAIR", "--jobs", 1, "--out", out, "--quiet")
    assert unlesion(*words).code == 0
    # The same file, a region now.
    manifest = clinic / "manifest.csv"
    text = manifest.read_text()
    manifest.write_text(text.replace("mask_path,mask_values", "roi_path,mask_values"))
    assert unlesion(*words).code == 0
    assert Cohort.open(out, channels=["T1", "FLAIR"])[1].read().roi is not None
    # A file that is gone is made again.
    gone = out / "anna" / "t1" / "FLAIR.nii.gz"
    gone.unlink()
    assert unlesion(*words).code == 0 and gone.exists()
    # What was corrected by hand stays.
    listed = out / "manifest.csv"
    written = listed.read_text()
    listed.write_text(written.replace("anna", "anne"))
    assert "changed since" in unlesion(*words).complaint and "anne" in listed.read_text()
    listed.write_text(written)
    # Nothing that fails leaves a table of before.
    (clinic / "anna" / "t1.nii.gz").unlink()
    said = unlesion(*words)
    assert said.code == 2 and "no such file" in said.err and "failure of ours" not in said.err
    for name in ("ben", "cleo"):
        (clinic / name / "t1.nii.gz").unlink()
    assert unlesion(*words).code == 2
    assert not listed.exists() and not (out / "report.html").exists()
    other = ("align", clinic, "--channels", "FLAIR,T1", "--jobs", 1, "--out", out)
    assert "other channels" in unlesion(*other).complaint


def test_a_place_that_cannot_be_written_is_no_fault_of_a_scan(
    clinic: Path,
    tmp_path: Path,
    unlesion: Command,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(path: Path, *arguments: object, **options: object) -> None:
        raise cannot_write(path, OSError(errno.ENOSPC, "No space left on device")) from OSError(
            errno.ENOSPC, "No space left on device"
        )

    monkeypatch.setattr("unlesion.prepare.sessions.nifti.write", full)
    out = tmp_path / "out"
    said = unlesion("align", clinic, "--channels", "T1,FLAIR", "--jobs", 1, "--out", out)
    # The first tells for all, by the name of its folder.
    assert said.code == 2 and f"{out / 'anna' / 't1'}: cannot be written (No space left" in said.complaint
    assert ".part-" not in said.err and "could not be aligned" not in said.err
    assert not (out / "manifest.csv").exists()


def test_sessions_of_another_call_are_told(clinic: Path, tmp_path: Path, unlesion: Command) -> None:  # noqa: F811
    words = ("align", clinic, "--channels", "T1,FLAIR", "--jobs", 1, "--out", tmp_path / "out")
    assert unlesion(*words, "--where", "subject=anna").code == 0
    said = unlesion(*words, "--where", "subject=ben")
    assert said.code == 0 and "holds 1 more session, the first anna/t1" in said.err
    # Interrupted between its claim and its manifest, or of an earlier version: the same again.
    claim = tmp_path / "out" / "align.json"
    record = json.loads(claim.read_text())
    for written in ({**record, "manifest": None}, {"channels": record["channels"]}):
        claim.write_text(json.dumps(written))
        if written.get("manifest", "") is None:
            (tmp_path / "out" / "manifest.csv").unlink()
        assert unlesion(*words, "--where", "subject=anna,ben").code == 0
    claim.write_text("[]")
    assert "not written by `align`" in unlesion(*words).complaint


def test_channels_get_names_of_their_own() -> None:
    assert file_names(["T1", "FLAIR"]) == ["T1", "FLAIR"]
    assert file_names(["T2", "T2*", "t2", "mask", "平扫", "增强"]) == [
        "T2", "T2-2", "t2-3", "mask-2", "image", "image-2",
    ]  # fmt: skip


def test_where_results_may_not_go(clinic: Path, tmp_path: Path, unlesion: Command) -> None:  # noqa: F811
    words = ("align", clinic, "--jobs", 1)
    assert "two modalities" in unlesion(*words, "--channels", "T1", "--out", tmp_path / "o").complaint
    data = bids.describe(tmp_path / "bids")
    for name in ("T1w", "FLAIR"):
        bids.image(data / "sub-01" / "anat" / f"sub-01_{name}.nii.gz")
    refused = unlesion("align", data, "--channels", "T1,FLAIR", "--jobs", 1, "--out", data / "out")
    assert "among the originals" in refused.complaint and not (data / "out").exists()
    # Named by a manifest they are safe from what lies beside them, but not from what takes their place.
    assert "among the originals" in unlesion(*words, "--channels", "T1,FLAIR", "--out", clinic).complaint
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    refused = unlesion(*words, "--channels", "T1,FLAIR", "--out", folder)
    assert "notes.txt" in refused.complaint and [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_channels_on_several_grids_say_what_to_do(clinic: Path) -> None:
    with pytest.raises(BadInput, match="unlesion align"):
        Cohort.open(clinic, channels=["T1", "FLAIR"])[0].read()


def test_real_sequences_are_brought_back(real_data: Path, tmp_path: Path) -> None:
    """T1 and FLAIR that their providers had registered; the header of one is turned and moved by known amounts."""
    where = ["subject=mslub_26"]
    t1, flair = (
        Cohort.open(real_data / "manifest.csv", where=[*where, f"modality={name}"])[0].paths[0]
        for name in ("T1", "FLAIR")
    )
    image = nib.load(flair)
    angle = np.radians(4)
    wrong = np.eye(4)
    wrong[:3, :3] = [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
    wrong[:3, 3] = [4, -3, 5]
    save(tmp_path / "fl.nii.gz", np.asanyarray(image.dataobj), wrong @ image.affine)
    entry = Entry(key="s", paths=(t1, tmp_path / "fl.nii.gz"), modality=("T1", "FLAIR"))
    right = on_one_grid(Entry(key="s", paths=(t1, flair), modality=("T1", "FLAIR")), register=False)
    joined = on_one_grid(entry, register=True)
    assert joined.turned[1] == pytest.approx(4, abs=0.5)
    inside = right.voxels[1] > 0

    def error(found: NDArray[np.float32]) -> float:
        return float(np.abs(found - right.voxels[1])[inside].mean())

    assert error(joined.voxels[1]) < 0.35 * error(on_one_grid(entry, register=False).voxels[1])
