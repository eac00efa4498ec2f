"""DICOM series: every voxel where its header says, with the value that its header says."""

from __future__ import annotations

from itertools import permutations

import highdicom
import nibabel as nib
import numpy as np
import pydicom
import pytest
from nibabel.orientations import aff2axcodes
from pydicom.dataset import Dataset
from pydicom.uid import (
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from tests.dicoms import (
    AXIAL,
    CORONAL,
    OBLIQUE,
    SAGITTAL,
    corner_points,
    enhanced,
    head,
    save,
    series_of,
    slice_file,
)

from unlesion.scans import read_mask, read_scan, write_binary, write_float

PLANES = {"axial": AXIAL, "coronal": CORONAL, "sagittal": SAGITTAL, "oblique": OBLIQUE}


def check_places(scan, files, *, atol=1e-3):
    """Every corner voxel of every file lies where position and orientation put it."""
    for value, point in corner_points(files).items():
        (where,) = np.argwhere(scan.voxels[0] == value)
        np.testing.assert_allclose((scan.grid.affine @ [*where, 1])[:3], point, atol=atol)


@pytest.mark.parametrize("plane", PLANES)
def test_planes(plane, tmp_path):
    files = series_of(head(17), orientation=PLANES[plane])
    save(files, tmp_path / "s")
    scan = read_scan(tmp_path / "s")
    check_places(scan, files)
    assert aff2axcodes(scan.grid.affine) == ("P", "L", "S")
    assert scan.warnings == ()
    assert scan.grid.spacing_known
    assert sorted(scan.grid.spacing) == pytest.approx([1.25, 1.5, 2.0], abs=1e-4)


def test_names_and_instance_numbers_mean_nothing(tmp_path):
    rng = np.random.default_rng(0)
    numbers = rng.permutation(8)

    def renumber(data, index):
        data.InstanceNumber = int(numbers[index])

    files = series_of(head(), change=renumber)
    save(files, tmp_path / "s", order=rng.permutation(8).tolist(), name="{}.weird")
    check_places(read_scan(tmp_path / "s"), files)


def test_an_endless_variety_of_names(tmp_path):
    files = series_of(head(3))
    for number, name in enumerate(("a.dcm", "IM_without_ending", "1.2.840.10008.1.2")):
        save([files[number]], tmp_path / "s" / f"deeper{number}", name=name)
    (tmp_path / "s" / "notes.txt").write_text("not an image")
    (tmp_path / "s" / "empty").write_bytes(b"")
    (tmp_path / "s" / "noise").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "s" / ".hidden").write_bytes((tmp_path / "s/deeper0/a.dcm").read_bytes())
    check_places(read_scan(tmp_path / "s"), files)


def test_gantry_tilt_is_kept_and_said(tmp_path):
    step = (0.0, 0.7, 2.0)
    files = series_of(head(), step=step)
    save(files, tmp_path / "s")
    scan = read_scan(tmp_path / "s")
    check_places(scan, files)
    angle = np.degrees(np.arctan2(0.7, 2.0))
    assert len(scan.warnings) == 1
    assert f"{angle:.1f} degrees" in scan.warnings[0]
    # A slanted voxel is as large as its base times its height, not as its edges.
    assert scan.grid.voxel_ml == pytest.approx(1.25 * 1.5 * 2.0 / 1000)
    (written,) = write_float(tmp_path / "map", scan.voxels[0], scan.grid)
    back = nib.load(written)
    assert (int(back.header["sform_code"]), int(back.header["qform_code"])) == (1, 0)
    np.testing.assert_allclose(read_scan(written).grid.affine, scan.grid.affine, atol=1e-5)
    assert read_scan(written).warnings == scan.warnings


def test_the_same_volume_as_highdicom(tmp_path):
    files = series_of(head(), orientation=OBLIQUE)
    save(files, tmp_path / "s")
    scan = read_scan(tmp_path / "s")
    oracle = highdicom.get_volume_from_series(files).to_patient_orientation("PLH")
    np.testing.assert_array_equal(oracle.array, scan.voxels[0])
    np.testing.assert_allclose(np.diag([-1, -1, 1, 1]) @ oracle.affine, scan.grid.affine, atol=1e-3)


def test_results_have_the_geometry_of_the_series(tmp_path):
    files = series_of(head(), orientation=OBLIQUE)
    save(files, tmp_path / "s")
    scan = read_scan(tmp_path / "s")
    (written,) = write_float(tmp_path / "map", scan.voxels[0], scan.grid)
    assert written.name == "map.nii.gz"
    again = read_scan(written)
    np.testing.assert_array_equal(again.voxels, scan.voxels)
    np.testing.assert_allclose(again.grid.affine, scan.grid.affine, atol=1e-5)
    # A mask that somebody drew on the NIfTI file fits the series.
    (mask,) = write_binary(tmp_path / "mask", scan.voxels[0] > 3000, scan.grid)
    np.testing.assert_array_equal(read_mask(mask, scan.grid), scan.voxels[0] > 3000)
    assert b"Secret" not in nib.load(written).header.binaryblock


def test_every_frame_has_its_own_slope_and_intercept(tmp_path):
    def rescale(data, index):
        data.RescaleSlope, data.RescaleIntercept = 1 + 0.5 * index, -100.0 * index

    save(series_of(head(), change=rescale), tmp_path / "s")
    values = read_scan(tmp_path / "s").voxels[0]
    # Slices of an axial series lie as they are stored.
    expected = head().transpose(1, 2, 0) * (1 + 0.5 * np.arange(8)) - 100.0 * np.arange(8)
    np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_signed_values(tmp_path):
    volume = head() - 4000
    save(series_of(volume.astype(np.int16)), tmp_path / "s")
    np.testing.assert_array_equal(read_scan(tmp_path / "s").voxels[0], volume.transpose(1, 2, 0))


@pytest.mark.parametrize(("kind", "stored"), [(np.uint16, 12), (np.int16, 16), (np.uint8, 8)])
def test_white_is_low(kind, stored, tmp_path):
    pixels = (head(1)[0] % 200).astype(kind)

    def turn(data, index):
        data.PhotometricInterpretation = "MONOCHROME1"
        data.Modality = "DX"
        data.BitsStored, data.HighBit = stored, stored - 1

    save(series_of(pixels[None], change=turn), tmp_path / "s")
    scan = read_scan(tmp_path / "s")
    top = -1 if kind is np.int16 else 2**stored - 1
    np.testing.assert_array_equal(scan.voxels[0, :, :, 0], top - pixels.astype(float))
    assert "MONOCHROME1" in scan.warnings[0]


def test_values_with_units_stay_however_they_are_shown(tmp_path):
    def turn(data, index):
        data.PhotometricInterpretation = "MONOCHROME1"
        data.Modality = "CT"

    save(series_of(head(), change=turn), tmp_path / "s")
    scan = read_scan(tmp_path / "s")
    np.testing.assert_array_equal(scan.voxels[0], head().transpose(1, 2, 0))
    assert not scan.warnings


def test_a_table_of_values(tmp_path):
    table = Dataset()
    table.LUTDescriptor = [256, 0, 16]
    table.ModalityLUTType = "US"
    table.add_new("LUTData", "OW", (np.arange(256, dtype=np.uint16) ** 2 // 2).astype("<u2").tobytes())
    pixels = (head(1)[0] % 256).astype(np.uint8)

    def look_up(data, index):
        data.ModalityLUTSequence = [table]

    save(series_of(pixels[None], change=look_up), tmp_path / "s")
    np.testing.assert_array_equal(read_scan(tmp_path / "s").voxels[0, :, :, 0], pixels.astype(int) ** 2 // 2)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless], ids=lambda syntax: syntax.name)
def test_compressed(syntax, tmp_path):
    def compress(data, index):
        data.compress(syntax, generate_instance_uid=False)

    plain = series_of(head(4))
    save(plain, tmp_path / "plain")
    save(series_of(head(4), change=compress), tmp_path / "s")
    np.testing.assert_array_equal(read_scan(tmp_path / "s").voxels, read_scan(tmp_path / "plain").voxels)


@pytest.mark.parametrize(
    ("syntax", "called"),
    [(JPEGLosslessSV1, "JPEGLosslessProcess14_1"), (JPEG2000Lossless, "JPEG2000Lossless")],
)
def test_compressed_as_archives_write_it(syntax, called, tmp_path):
    """Only GDCM writes these here, so GDCM compresses what pydicom then has to read."""
    import gdcm

    (path,) = save(series_of(head(1)), tmp_path / "plain")
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, called)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(tmp_path / "packed.dcm"))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    assert pydicom.dcmread(tmp_path / "packed.dcm").file_meta.TransferSyntaxUID == syntax
    np.testing.assert_array_equal(read_scan(tmp_path / "packed.dcm").voxels, read_scan(path).voxels)


def test_a_compression_that_nothing_decodes_is_named(tmp_path, refuses):
    (file,) = series_of(head(1))
    file.compress(RLELossless, generate_instance_uid=False)
    (path,) = save([file], tmp_path / "s")
    data = pydicom.dcmread(path)
    # What no decoder among the dependencies knows.
    data.file_meta.TransferSyntaxUID = HTJ2KLossless
    pydicom.dcmwrite(path, data, enforce_file_format=True)
    refuses(lambda: read_scan(path), "High-Throughput JPEG 2000", "decompress")


@pytest.mark.parametrize("packed", [False, True])
def test_enhanced_multi_frame(packed, tmp_path):
    data = enhanced(head(), orientation=OBLIQUE)
    if packed:
        data.compress(RLELossless, generate_instance_uid=False)
    (path,) = save([data], tmp_path, name="enhanced.dcm")
    save(series_of(head(), orientation=OBLIQUE), tmp_path / "plain")
    scan, plain = read_scan(path), read_scan(tmp_path / "plain")
    np.testing.assert_array_equal(scan.voxels, plain.voxels)
    np.testing.assert_allclose(scan.grid.affine, plain.grid.affine, atol=1e-4)


def test_enhanced_slopes(tmp_path):
    slopes = [1.0 + index for index in range(8)]
    (path,) = save([enhanced(head(), slopes=slopes)], tmp_path)
    expected = head().transpose(1, 2, 0) * np.array(slopes) + 7
    np.testing.assert_array_equal(read_scan(path).voxels[0], expected)


def test_enhanced_times_are_volumes(tmp_path, refuses):
    (path,) = save([enhanced(head(4), times=3)], tmp_path)
    refuses(lambda: read_scan(path), "3 volumes", "--volume 0 to 2")
    scan = read_scan(path, volume=2)
    np.testing.assert_array_equal(scan.voxels[0], head(4).transpose(1, 2, 0) + 20000)
    assert not any("volume" in words for words in scan.warnings)
    refuses(lambda: read_scan(path, volume=3), "no volume 3")


def test_enhanced_as_highdicom_writes_it(tmp_path):
    """highdicom converts a classic series; it must come back as that series."""
    files = series_of(head(), orientation=OBLIQUE)
    converted = highdicom.legacy.LegacyConvertedEnhancedMRImage(
        legacy_datasets=files,
        series_instance_uid=highdicom.UID(),
        series_number=9,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
    )
    converted.save_as(tmp_path / "legacy.dcm")
    save(files, tmp_path / "plain")
    scan, plain = read_scan(tmp_path / "legacy.dcm"), read_scan(tmp_path / "plain")
    np.testing.assert_array_equal(scan.voxels, plain.voxels)
    np.testing.assert_allclose(scan.grid.affine, plain.grid.affine, atol=1e-4)


def test_volumes_of_a_classic_series(tmp_path, refuses):
    first = series_of(head(4))
    second = series_of(head(4) + 10000, change=lambda data, index: setattr(data, "AcquisitionNumber", 2))
    for number, data in enumerate(second):
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}"
        data.InstanceNumber = number + 5
    save([*second, *first], tmp_path / "s")
    refuses(lambda: read_scan(tmp_path / "s"), "2 volumes")
    low, high = (read_scan(tmp_path / "s", volume=number).voxels for number in (0, 1))
    np.testing.assert_array_equal(low + 10000, high)


def test_a_single_slice_and_a_radiograph(tmp_path):
    (path,) = save([slice_file(head(1)[0], position=(1, 2, 3), orientation=SAGITTAL)], tmp_path)
    scan = read_scan(path)
    assert scan.grid.is_flat
    # A sagittal slice keeps its plane: rows run down, columns to the back.
    np.testing.assert_array_equal(scan.voxels[0, :, :, 0], head(1)[0])
    film = slice_file(
        head(1, 32, 24)[0], position=None, modality="DX", PixelSpacing=None, ImagerPixelSpacing=[0.2, 0.2]
    )
    (path,) = save([film], tmp_path, name="film.dcm")
    scan = read_scan(path)
    np.testing.assert_array_equal(scan.voxels[0, :, :, 0], head(1, 32, 24)[0])
    assert scan.grid.spacing[:2] == pytest.approx((0.2, 0.2))
    assert scan.grid.spacing_known
    assert "orientation" in scan.warnings[0]
    (written,) = write_float(tmp_path / "map", scan.voxels[0], scan.grid)
    np.testing.assert_array_equal(read_scan(written).voxels, scan.voxels)


def test_no_pixel_size(tmp_path):
    (path,) = save([slice_file(head(1)[0], position=None, modality="CR", PixelSpacing=None)], tmp_path)
    scan = read_scan(path, spacing_mm=0.3)
    assert not read_scan(path).grid.spacing_known
    assert "no pixel size" in read_scan(path).warnings[1]
    assert scan.grid.spacing_known


def test_any_turn_of_the_axes(tmp_path):
    """All right-angled orientations of rows and columns, both ways round."""
    axes = np.eye(3)
    for number, (one, two) in enumerate(permutations(range(3), 2)):
        for sign in (1, -1):
            files = series_of(head(16), orientation=(*(sign * axes[one]), *axes[two]))
            save(files, tmp_path / f"{number}{sign}")
            check_places(read_scan(tmp_path / f"{number}{sign}"), files)
