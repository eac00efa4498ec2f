"""Series with something wrong: each is refused in words, and its neighbours are not."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom.uid import RLELossless
from tests.dicoms import AXIAL, CORONAL, SAGITTAL, head, save, series_of, slice_file

from unlesion.errors import BadInput
from unlesion.scans import Cohort, read_scan


def test_a_missing_slice(tmp_path, refuses):
    files = series_of(head())
    save(files[:3] + files[4:], tmp_path / "s")
    refuses(lambda: read_scan(tmp_path / "s"), "1 slice is missing", "4 mm", "IM0002", "IM0003", "t1_mprage")
    save(files[:2] + files[4:6] + files[7:], tmp_path / "three")
    refuses(lambda: read_scan(tmp_path / "three"), "3 slices are missing")


def test_uneven_slices(tmp_path, refuses):
    def move(data, index):
        data.ImagePositionPatient = [0, 0, 2.0 * index + (0.4 if index == 5 else 0)]

    save(series_of(head(), change=move), tmp_path / "s")
    refuses(lambda: read_scan(tmp_path / "s"), "unevenly spaced", "1.6 to 2.4 mm")


def test_rounded_positions_are_even(tmp_path):
    def blur(data, index):
        data.ImagePositionPatient = [0, 0, round(0.6667 * index, 2)]

    save(series_of(head(), change=blur), tmp_path / "s")
    assert read_scan(tmp_path / "s").grid.spacing[2] == pytest.approx(0.6667, abs=2e-3)


def test_slices_beside_the_line(tmp_path, refuses):
    def move(data, index):
        data.ImagePositionPatient = [3.0 if index == 4 else 0, 0, 2.0 * index]

    save(series_of(head(), change=move), tmp_path / "s")
    refuses(lambda: read_scan(tmp_path / "s"), "do not lie in a line")


def test_the_same_file_twice(tmp_path, refuses):
    files = series_of(head())
    save(files, tmp_path / "s")
    save(files[2:3], tmp_path / "s", name="copy")
    refuses(lambda: read_scan(tmp_path / "s"), "IM0002", "copy", "same image", "remove")


def test_a_whole_series_twice(tmp_path, refuses):
    for folder in ("s", "s backup"):
        save(series_of(head()), tmp_path / "c" / folder)
    refuses(Cohort.open(tmp_path / "c")[0].read, "s/IM0000", "s backup/IM0000", "7 others")


def test_two_images_at_one_place(tmp_path, refuses):
    files = series_of(head())
    again = slice_file(head()[2] + 5, position=files[2].ImagePositionPatient, instance=99)
    save([*files, again], tmp_path / "s")
    refuses(lambda: read_scan(tmp_path / "s"), "same place", "IM0002", "IM0008")


def test_mixed_sizes(tmp_path, refuses):
    files = series_of(head())
    files[3] = slice_file(head(1, 16, 16)[0], position=files[3].ImagePositionPatient, instance=4)
    save(files, tmp_path / "s")
    refuses(lambda: read_scan(tmp_path / "s"), "different sizes", "7 of 20 x 18", "1 of 16 x 16")


def test_a_stray_slice_of_another_plane(tmp_path, refuses):
    stray = slice_file(head()[0], position=(0, 0, 0), orientation=SAGITTAL, instance=99)
    # More slices than a scout has, so that it is no localiser.
    save([*series_of(head(20)), stray], tmp_path / "s")
    refuses(lambda: read_scan(tmp_path / "s"), "different planes", "1 of 21")


def test_truncated_pixels(tmp_path, refuses):
    paths = save(series_of(head()), tmp_path / "s")
    paths[5].write_bytes(paths[5].read_bytes()[:-300])
    refuses(lambda: read_scan(tmp_path / "s"), "IM0005", "truncated")


def test_a_header_that_promises_the_world(tmp_path, refuses):
    (path,) = save([slice_file(head(1)[0], position=(0, 0, 0), Rows=65535, Columns=65535)], tmp_path)
    refuses(lambda: read_scan(path), "4294836225 pixels promised")


def test_a_truncated_header(tmp_path, refuses):
    """A file that breaks off before it says which series it is of, and one after that."""
    files = series_of(head())
    paths = save(files, tmp_path / "s")
    whole = paths[7].read_bytes()
    paths[7].write_bytes(whole[: whole.index(b"\x28\x00\x02\x00")])
    refuses(lambda: read_scan(tmp_path / "s"), "IM0007", "breaks off")
    paths[7].write_bytes(whole[:340])
    with pytest.raises(BadInput):
        read_scan(tmp_path / "s")
    cohort = Cohort.open(tmp_path)
    assert any("IM0007" in warning and "not readable" in warning for warning in cohort.warnings)


@pytest.mark.parametrize("kind", ["RGB", "PALETTE COLOR"])
def test_colour(kind, tmp_path, refuses):
    def paint(data, index):
        data.PhotometricInterpretation = kind
        if kind == "RGB":
            data.SamplesPerPixel, data.PlanarConfiguration = 3, 0
            data.PixelData = data.PixelData * 3

    save(series_of(head(2), change=paint), tmp_path / "s")
    refuses(lambda: read_scan(tmp_path / "s"), "colour", kind)


def test_without_positions(tmp_path, refuses):
    save([slice_file(head()[i], position=None, instance=i + 1) for i in range(4)], tmp_path / "s")
    refuses(lambda: read_scan(tmp_path / "s"), "4 images without positions")


def test_a_mosaic(tmp_path, refuses):
    def tile(data, index):
        data.ImageType = ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]

    save(series_of(head(1), change=tile), tmp_path / "s")
    refuses(lambda: read_scan(tmp_path / "s"), "mosaic", "dcm2niix")


def test_folders_that_hold_no_series_or_several(tmp_path, refuses):
    (tmp_path / "empty").mkdir()
    refuses(lambda: read_scan(tmp_path / "empty"), "folder without DICOM")
    save(series_of(head()), tmp_path / "two")
    save(series_of(head(), series="other", description="flair", number=2), tmp_path / "two", name="B{}")
    refuses(lambda: read_scan(tmp_path / "two"), "2 DICOM series", "'1 t1_mprage'", "'2 flair'")
    (tmp_path / "no.dcm").write_bytes(b"not DICOM" * 100)
    refuses(lambda: read_scan(tmp_path / "no.dcm"), "not a DICOM file")
    (tmp_path / "empty.dcm").write_bytes(b"")
    refuses(lambda: read_scan(tmp_path / "empty.dcm"), "empty")


def scout():
    """Three slices in each of three planes, in one series, as scanners make them."""
    planes = enumerate((AXIAL, CORONAL, SAGITTAL))
    return [
        slice_file(
            head()[k], position=(0, 0, 10 * k), orientation=plane, instance=10 * n + k + 1, series="scout"
        )
        for n, plane in planes
        for k in range(3)
    ]


def called_localiser():
    def name(data, index):
        data.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    return series_of(head(3), change=name, series="localizer")


@pytest.mark.parametrize("make", [scout, called_localiser])
def test_localisers_are_named_and_left_out(make, tmp_path, refuses):
    save(make(), tmp_path / "a" / "1")
    refuses(lambda: read_scan(tmp_path / "a" / "1"), "localiser", "leave it out")
    refuses(lambda: Cohort.open(tmp_path), "no image", "localiser")
    save(series_of(head()), tmp_path / "a" / "2")
    cohort = Cohort.open(tmp_path)
    assert [entry.key for entry in cohort] == ["a/2"]
    assert any("1 DICOM series left out" in w and "a/1" in w and "localiser" in w for w in cohort.warnings)


def test_a_localiser_inside_a_series(tmp_path):
    """One image of it, in the series of the scan: it goes, the scan stays."""
    scout = slice_file(
        head()[0],
        position=(0, 0, 0),
        orientation=SAGITTAL,
        instance=99,
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
    )
    save([*series_of(head()), scout], tmp_path / "c" / "s")
    assert read_scan(tmp_path / "c" / "s").voxels.shape == (1, 20, 18, 8)
    cohort = Cohort.open(tmp_path / "c")
    assert len(cohort) == 1
    assert any("left out" in warning for warning in cohort.warnings)


def test_one_identifier_for_everybody(tmp_path):
    """What a careless anonymiser leaves: the same series, but of other patients."""
    for name in ("anna", "ben"):
        files = series_of(
            head(), change=lambda data, index: setattr(data, "SeriesInstanceUID", "1.2.3"), patient=name
        )
        save(files, tmp_path / "c" / name)
    assert [entry.key for entry in Cohort.open(tmp_path / "c")] == ["anna", "ben"]


def test_a_bad_series_does_not_stop_the_others(tmp_path, refuses):
    files = series_of(head(), patient="P1")
    save(files[:3] + files[4:], tmp_path / "gap")
    save(series_of(head(), patient="P2"), tmp_path / "good")
    twice = series_of(head(), patient="P3")
    save([*twice, twice[0]], tmp_path / "twice")
    cohort = Cohort.open(tmp_path)
    assert [entry.key for entry in cohort] == ["gap", "good", "twice"]
    assert cohort[1].read().voxels.shape == (1, 20, 18, 8)
    refuses(cohort[0].read, "gap", "missing")
    refuses(cohort[2].read, "twice", "same image")


def test_a_file_that_went_away(tmp_path, refuses):
    paths = save(series_of(head()), tmp_path / "c" / "s")
    entry = Cohort.open(tmp_path / "c")[0]
    paths[7].unlink()
    refuses(entry.read, "IM0007", "no such file")


def test_a_file_without_preamble_and_without_meta(tmp_path):
    paths = save(series_of(head()), tmp_path / "s", name="{}.dcm")
    for path in paths:
        data = pydicom.dcmread(path)
        del data.file_meta
        data.preamble = None
        pydicom.dcmwrite(path, data, implicit_vr=True, little_endian=True)
        assert path.read_bytes()[128:132] != b"DICM"
    assert read_scan(tmp_path / "s").voxels.shape == (1, 20, 18, 8)


@pytest.mark.parametrize("packed", [False, True])
def test_damaged_files_are_bad_input_and_nothing_else(packed, tmp_path):
    """Cut off anywhere, or with bytes changed anywhere: a scan or one line, never another exception."""
    files = series_of(head(3))
    if packed:
        for data in files:
            data.compress(RLELossless, generate_instance_uid=False)
    paths = save(files, tmp_path / "c" / "s")
    whole = paths[1].read_bytes()
    rng = np.random.default_rng(0)
    outcomes = set()
    for number in range(60):
        broken = bytearray(whole[: rng.integers(0, len(whole))] if number % 2 else whole)
        for place in rng.integers(0, max(len(broken), 1), size=0 if number % 2 else 8):
            broken[place] = rng.integers(0, 256)
        paths[1].write_bytes(broken)
        for read in (lambda: read_scan(tmp_path / "c" / "s"), lambda: Cohort.open(tmp_path / "c")[0].read()):
            try:
                read()
                outcomes.add("read")
            except BadInput as error:
                assert "\n" not in str(error)
                outcomes.add("refused")
    assert outcomes == {"read", "refused"}
