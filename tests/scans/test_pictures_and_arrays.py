from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageOps

from unlesion.errors import BadInput
from unlesion.scans import read_scan, write_binary, write_float, write_picture

ROWS, COLUMNS = 24, 20


@pytest.fixture
def grey8():
    return np.random.default_rng(0).integers(0, 255, (ROWS, COLUMNS), dtype=np.uint8)


@pytest.fixture
def grey16():
    return np.random.default_rng(0).integers(0, 65535, (ROWS, COLUMNS), dtype=np.uint16)


@pytest.mark.parametrize("name", ["x.png", "x.tif", "x.TIFF"])
@pytest.mark.parametrize("depth", ["grey8", "grey16"])
def test_grey_pictures_come_as_they_are(name, depth, save_picture, request):
    pixels = request.getfixturevalue(depth)
    scan = read_scan(save_picture(name, pixels))
    assert scan.voxels.shape == (1, ROWS, COLUMNS, 1)
    assert scan.voxels.dtype == np.float32
    np.testing.assert_array_equal(scan.voxels[0, :, :, 0], pixels)
    assert scan.grid.family == "picture"
    assert not scan.grid.spacing_known
    assert scan.key == "x"


def test_float_tiff(save_picture, grey8):
    pixels = grey8.astype(np.float32) / 7 - 3
    np.testing.assert_array_equal(read_scan(save_picture("x.tif", pixels)).voxels[0, :, :, 0], pixels)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_compressed_tiff(save_picture, grey16, compression):
    path = save_picture("x.tif", grey16, compression=compression)
    np.testing.assert_array_equal(read_scan(path).voxels[0, :, :, 0], grey16)


@pytest.mark.parametrize("name", ["x.jpg", "x.jpeg"])
def test_jpeg(name, save_picture):
    pixels = np.add.outer(np.arange(64), np.arange(48)).astype(np.uint8)
    scan = read_scan(save_picture(name, pixels, quality=95))
    assert np.abs(scan.voxels[0, :, :, 0] - pixels).max() < 4


@pytest.mark.parametrize(
    ("name", "orientation"),
    # 0 and 99 are no orientations; libtiff does not write them.
    [
        (name, n)
        for name in ("x.jpg", "x.png", "x.tif")
        for n in (*range(1, 9), 0, 99)
        if 0 < n < 9 or name != "x.tif"
    ],
)
def test_pictures_are_turned_as_their_metadata_say(name, orientation, tmp_path):
    pixels = np.add.outer(8 * np.arange(24), 3 * np.arange(16)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / name
    how = {"x.jpg": {"quality": 95}, "x.png": {}, "x.tif": {"compression": "tiff_lzw"}}[name]
    Image.fromarray(pixels).save(path, exif=exif, **how)
    with Image.open(path) as stored:
        # Loading turns a TIFF; asked before, the oracle would turn it twice.
        stored.load()
        expected = np.asarray(ImageOps.exif_transpose(stored))
    assert expected.shape == ((16, 24) if orientation in (5, 6, 7, 8) else (24, 16))
    np.testing.assert_array_equal(read_scan(path).voxels[0, :, :, 0], expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_uncompressed_tiff_is_turned_or_refused(orientation, save_picture, grey8):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save_picture("x.tif", grey8, exif=exif)
    if orientation >= 5:
        with pytest.raises(BadInput, match="on its side; save it upright"):
            read_scan(path)
    else:
        back = {1: grey8, 2: grey8[:, ::-1], 3: grey8[::-1, ::-1], 4: grey8[::-1]}[orientation]
        np.testing.assert_array_equal(read_scan(path).voxels[0, :, :, 0], back)


def test_colour_files_that_are_grey(save_picture, grey8):
    for name, pixels in (
        ("rgb.png", np.stack([grey8] * 3, axis=-1)),
        ("rgba.png", np.stack([grey8] * 3 + [np.full_like(grey8, 255)], axis=-1)),
    ):
        np.testing.assert_array_equal(read_scan(save_picture(name, pixels)).voxels[0, :, :, 0], grey8)
    path = save_picture("palette.png")
    Image.fromarray(grey8).convert("P").save(path)
    np.testing.assert_array_equal(read_scan(path).voxels[0, :, :, 0], grey8)


def test_page_of_a_tiff(tmp_path, grey8):
    path = tmp_path / "pages.tif"
    Image.fromarray(grey8).save(path, save_all=True, append_images=[Image.fromarray(grey8 // 2)])
    scan = read_scan(path, volume=1)
    np.testing.assert_array_equal(scan.voxels[0, :, :, 0], grey8 // 2)
    assert (scan.grid.volumes, scan.warnings) == (2, ())


def test_canonical_axes_of_a_picture(save_picture):
    affine = read_scan(save_picture("x.png"), spacing_mm=(0.5, 0.7)).grid.affine
    np.testing.assert_allclose(affine @ [1, 0, 0, 1], [0, -0.5, 0, 1])
    np.testing.assert_allclose(affine @ [0, 1, 0, 1], [-0.7, 0, 0, 1])


def test_results_of_a_picture(save_picture, grey8, tmp_path):
    scan = read_scan(save_picture("x.png", grey8))
    (written,) = write_float(tmp_path / "anomaly", scan.voxels[0] / 3, scan.grid)
    assert written.name == "anomaly.npy"
    assert np.load(written).dtype == np.float32
    np.testing.assert_allclose(np.load(written), grey8 / 3, rtol=1e-6)

    picture, array = write_binary(tmp_path / "lesions", scan.voxels[0] > 100, scan.grid)
    np.testing.assert_array_equal(np.asarray(Image.open(picture)), np.where(grey8 > 100, 255, 0))
    np.testing.assert_array_equal(np.load(array), (grey8 > 100).astype(np.uint8))
    assert np.load(array).dtype == np.uint8


def test_picture_channels_become_the_last_axis(save_picture, grey8, tmp_path):
    scan = read_scan([save_picture("a.png", grey8), save_picture("b.png", grey8 // 2)])
    (written,) = write_float(tmp_path / "healthy", scan.voxels, scan.grid)
    assert np.load(written).shape == (ROWS, COLUMNS, 2)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float16, np.float32, np.float64, ">i2"])
@pytest.mark.parametrize("shape", [(18, 20), (18, 20, 1), (18, 20, 5)])
def test_arrays_come_as_they_are(dtype, shape, tmp_path):
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    np.save(tmp_path / "x.npy", array)
    scan = read_scan(tmp_path / "x.npy")
    np.testing.assert_array_equal(scan.voxels[0], array.reshape((*shape, 1)[:3]).astype(np.float32))
    assert scan.grid.family == "numpy"
    (written,) = write_float(tmp_path / "back", scan.voxels, scan.grid)
    np.testing.assert_array_equal(np.load(written), array.astype(np.float32))
    (mask,) = write_binary(tmp_path / "mask", scan.voxels[0] > 9, scan.grid)
    assert np.load(mask).shape == shape


def test_fortran_order_and_choice_of_volume_of_arrays(tmp_path):
    array = np.asfortranarray(np.arange(18 * 20 * 3 * 2, dtype=np.float32).reshape(18, 20, 3, 2))
    np.save(tmp_path / "x.npy", array)
    scan = read_scan(tmp_path / "x.npy", volume=1)
    np.testing.assert_array_equal(scan.voxels[0], array[..., 1])
    assert scan.warnings == ()


def test_spacing_of_pictures_and_arrays(save_picture, tmp_path):
    scan = read_scan(save_picture("x.png"), spacing_mm=0.5)
    assert scan.grid.spacing == (0.5, 0.5, 0.5)
    assert scan.grid.spacing_known
    np.save(tmp_path / "v.npy", np.random.default_rng(0).random((18, 20, 4)))
    assert read_scan(tmp_path / "v.npy", spacing_mm=(1, 2, 3)).grid.voxel_ml == pytest.approx(0.006)


def test_mask_roi_and_twin_of_a_picture(save_picture, grey8, tmp_path):
    mask = np.where(grey8 > 200, 255, 0).astype(np.uint8)
    np.save(tmp_path / "roi.npy", grey8 > 10)
    scan = read_scan(
        save_picture("x.png", grey8),
        mask=save_picture("m.png", mask),
        roi=tmp_path / "roi.npy",
        twin=save_picture("t.png", grey8 // 2),
    )
    np.testing.assert_array_equal(scan.lesions[:, :, 0], grey8 > 200)
    np.testing.assert_array_equal(scan.roi[:, :, 0], grey8 > 10)
    np.testing.assert_array_equal(scan.twin[0, :, :, 0], grey8 // 2)
    assert scan.lesions.dtype == bool


def test_picture_to_look_at_has_a_fixed_window(tmp_path):
    values = np.array([[-1.0, 0.0, 0.5], [1.0, 9.0, np.nan]])
    path = write_picture(tmp_path / "a.b", values, low=0, high=1)
    assert path.name == "a.b.png"
    np.testing.assert_array_equal(np.asarray(Image.open(path)), [[0, 0, 128], [255, 255, 0]])
    with pytest.raises(ValueError, match="window"):
        write_picture(tmp_path / "a", values, low=1, high=1)


def test_a_roi_that_marks_nothing_is_refused(save_picture, grey8, refuses):
    """It gave maps of an estimated brain and, inside the empty roi, no lesion at all."""
    path, empty = save_picture("x.png", grey8), save_picture("roi.png", np.zeros_like(grey8))
    refuses(lambda: read_scan(path, roi=empty), "roi", "marks nothing")


@pytest.mark.parametrize("depth", [8, 16])
def test_tiffs_whose_zero_is_white_are_inverted(tmp_path, depth, grey8, grey16):
    pixels = grey8 if depth == 8 else grey16
    path = tmp_path / "x.tif"
    Image.fromarray(pixels).save(path, tiffinfo={262: 0})
    with Image.open(path) as picture:
        assert picture.tag_v2[262] == 0
        # What the file holds, as stored.
        stored = np.frombuffer(path.read_bytes()[picture.tag_v2[273][0] :], pixels.dtype)[: pixels.size]
    shown = read_scan(path).voxels[0, :, :, 0]
    np.testing.assert_array_equal(shown, (2**depth - 1) - stored.reshape(pixels.shape).astype(np.float32))


def test_a_given_size_of_pixels_moves_no_mask(save_picture, grey8):
    path, mask = save_picture("x.png", grey8), save_picture("m.png", np.eye(*grey8.shape, dtype=np.uint8))
    assert read_scan(path, mask=mask, spacing_mm=0.2).lesions.sum() == min(grey8.shape)
