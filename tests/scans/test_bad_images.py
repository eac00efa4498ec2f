from __future__ import annotations

import os
import warnings

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from unlesion.scans import read_mask, read_scan

NAMES = ["x.nii", "x.nii.gz", "x.png", "x.jpg", "x.tif", "x.npy"]


def noise(*shape):
    return np.random.default_rng(0).integers(1, 255, shape, dtype=np.uint8)


def save(path, array):
    """Write an array in the format of the ending."""
    if path.suffix in (".nii", ".gz"):
        nib.save(nib.Nifti1Image(array, np.eye(4)), path)
    elif path.suffix == ".npy":
        np.save(path, array)
    else:
        Image.fromarray(array).save(path)
    return path


@pytest.mark.parametrize("name", NAMES)
def test_missing(name, tmp_path, refuses):
    refuses(lambda: read_scan(tmp_path / name), tmp_path / name, "no such file")


@pytest.mark.parametrize("name", NAMES)
def test_empty(name, tmp_path, refuses):
    (tmp_path / name).touch()
    refuses(lambda: read_scan(tmp_path / name), tmp_path / name, "empty")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_truncated(name, share, tmp_path, refuses):
    path = save(tmp_path / name, noise(64, 64))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    message = refuses(lambda: read_scan(path), path)
    assert message.count(str(path)) == 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [1, 100, 5000])
def test_no_image(name, size, tmp_path, refuses):
    (tmp_path / name).write_bytes(np.random.default_rng(size).bytes(size))
    refuses(lambda: read_scan(tmp_path / name), tmp_path / name)


@pytest.mark.parametrize("name", NAMES)
def test_broken_anywhere_is_never_a_traceback(name, tmp_path):
    """Flipped bytes give an image or a line, whatever they hit."""
    from unlesion.errors import BadInput

    random = np.random.default_rng(0)
    good = save(tmp_path / name, noise(32, 32)).read_bytes()
    for _ in range(150):
        bad = bytearray(good)
        for place in random.integers(0, min(len(bad), 400), 3):
            bad[place] = random.integers(0, 256)
        (tmp_path / name).write_bytes(bad)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                scan = read_scan(tmp_path / name, volume=0)
            except BadInput as error:
                assert "\n" not in str(error)
            else:
                assert np.isfinite(scan.voxels).all()


def test_a_huge_promise_asks_for_no_memory(tmp_path, refuses):
    header = nib.Nifti1Header()
    header.set_data_dtype(np.float64)
    header.set_data_shape((32000, 32000, 32000))
    path = tmp_path / "x.nii.gz"
    import gzip

    path.write_bytes(gzip.compress(header.binaryblock + bytes(4000)))
    refuses(lambda: read_scan(path), path, "truncated")


def test_other_ending_and_folder(tmp_path, refuses):
    (tmp_path / "x.docx").write_bytes(b"text")
    refuses(lambda: read_scan(tmp_path / "x.docx"), "x.docx", ".nii.gz")
    refuses(lambda: read_scan(tmp_path), tmp_path, "folder")
    refuses(lambda: read_scan([]), "path")
    refuses(lambda: read_scan("a\0b.png"), "no such file")


@pytest.mark.parametrize("name", ["x.nii.gz", "x.npy", "x.tif"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nothing_finite(name, value, tmp_path, refuses):
    path = save(tmp_path / name, np.full((20, 20), value, dtype=np.float32))
    refuses(lambda: read_scan(path), path, "finite")


@pytest.mark.parametrize("name", ["x.nii.gz", "x.npy"])
def test_some_not_finite_are_mended_with_a_warning(name, tmp_path):
    array = noise(20, 20).astype(np.float32)
    array[3, 4], array[5, 6], array[7, 8] = np.nan, np.inf, -np.inf
    scan = read_scan(save(tmp_path / name, array))
    assert np.isfinite(scan.voxels).all()
    assert (scan.voxels == 0).sum() == 3
    assert len(scan.warnings) == 1
    assert "3 of 400" in scan.warnings[0]


@pytest.mark.parametrize("name", NAMES)
def test_constant(name, tmp_path, refuses):
    path = save(tmp_path / name, np.full((20, 20), 7, dtype=np.uint8))
    refuses(lambda: read_scan(path), path, "every voxel is 7")


def test_constant_but_for_nan(tmp_path, refuses):
    array = np.full((20, 20), 7, dtype=np.float32)
    array[0, 0] = np.nan
    refuses(lambda: read_scan(save(tmp_path / "x.npy", array)), "every voxel is 7")
    array[1, 1] = 0
    assert read_scan(save(tmp_path / "x.npy", array)).voxels.max() == 7


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(15, 40), (40, 15), (1, 1)])
def test_tiny(name, shape, tmp_path, refuses):
    path = save(tmp_path / name, noise(*shape))
    refuses(lambda: read_scan(path), path, "at least 16 x 16")


def test_smallest_that_is_allowed(tmp_path):
    assert read_scan(save(tmp_path / "x.png", noise(16, 16))).voxels.shape == (1, 16, 16, 1)


@pytest.mark.parametrize("name", ["x.nii.gz", "x.nii", "x.npy"])
def test_four_dimensions_without_a_choice(name, tmp_path, refuses):
    path = save(tmp_path / name, noise(20, 20, 5, 3))
    refuses(lambda: read_scan(path), path, "3 volumes", "--volume")
    refuses(lambda: read_scan(path, volume=3), "no volume 3")
    refuses(lambda: read_scan(path, volume=-1), "no volume -1")


def test_pages_without_a_choice(tmp_path, refuses):
    path = tmp_path / "x.tif"
    Image.fromarray(noise(20, 20)).save(path, save_all=True, append_images=[Image.fromarray(noise(20, 20))])
    refuses(lambda: read_scan(path), path, "2 volumes")


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.tif"])
def test_colour_picture(name, tmp_path, refuses):
    path = save(tmp_path / name, noise(20, 20, 3))
    refuses(lambda: read_scan(path), path, "colour", "grey")


def test_transparent_picture(tmp_path, refuses):
    refuses(lambda: read_scan(save(tmp_path / "x.png", noise(20, 20, 4))), "transparent")


def test_sixteen_bit_colour_is_not_silently_cut_to_eight(tmp_path, refuses):
    import struct
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + np.full((20, 3), row * 1000, dtype=">u2").tobytes() for row in range(20))
    head = struct.pack(">IIBBBBB", 20, 20, 16, 2, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    refuses(lambda: read_scan(tmp_path / "x.png"), "16-bit")


def test_kinds_of_nifti_that_are_no_grey_image(tmp_path, refuses):
    path = tmp_path / "x.nii.gz"
    colour = np.zeros((20, 20, 4), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    save(path, colour)
    refuses(lambda: read_scan(path), path, "colour")
    save(path, noise(20, 20, 4).astype(np.complex64))
    refuses(lambda: read_scan(path), path, "complex")
    save(path, noise(20, 20, 4, 1, 3).astype(np.float32))
    refuses(lambda: read_scan(path), path, "vectors")


def test_affine_that_cannot_be_inverted(tmp_path, refuses):
    image = nib.Nifti1Image(noise(20, 20, 4), np.eye(4))
    image.header["srow_x"] = image.header["srow_y"]
    image._affine = None
    nib.save(nib.Nifti1Image(noise(20, 20, 4), None, image.header), tmp_path / "x.nii.gz")
    refuses(lambda: read_scan(tmp_path / "x.nii.gz"), "affine")


def test_objects_and_texts_are_never_unpickled(tmp_path, refuses):
    class Trap:
        def __reduce__(self):
            return os._exit, (3,)

    np.save(tmp_path / "x.npy", np.array([Trap()] * 400, dtype=object), allow_pickle=True)
    refuses(lambda: read_scan(tmp_path / "x.npy"), tmp_path / "x.npy")
    np.save(tmp_path / "t.npy", np.full((20, 20), "a"))
    refuses(lambda: read_scan(tmp_path / "t.npy"), "real numbers")
    np.save(tmp_path / "c.npy", np.full((20, 20), 1j))
    refuses(lambda: read_scan(tmp_path / "c.npy"), "real numbers")
    np.save(tmp_path / "one.npy", np.arange(400.0))
    refuses(lambda: read_scan(tmp_path / "one.npy"), "400")
    with (tmp_path / "z.npy").open("wb") as file:
        np.savez(file, a=np.zeros(3))
    refuses(lambda: read_scan(tmp_path / "z.npy"), "npz")


def test_mask_of_another_shape(tmp_path, refuses):
    scan = save(tmp_path / "x.nii.gz", noise(20, 20, 4))
    mask = save(tmp_path / "m.nii.gz", noise(20, 20, 5))
    refuses(lambda: read_scan(scan, mask=mask), mask, "mask", "20 x 20 x 5", "20 x 20 x 4")
    refuses(lambda: read_scan(scan, roi=mask), mask, "roi")
    refuses(lambda: read_scan(scan, twin=mask), mask, "twin")
    refuses(lambda: read_scan([scan, mask]), mask, "channel")
    flat = save(tmp_path / "x.png", noise(20, 20))
    refuses(lambda: read_scan(flat, mask=save(tmp_path / "m.png", noise(20, 21))), "20 x 21")


def test_mask_at_another_place(tmp_path, refuses):
    scan = save(tmp_path / "x.nii.gz", noise(20, 20, 4))
    near, far = np.eye(4), np.eye(4)
    near[0, 3], far[0, 3] = 5e-4, 0.5
    for affine, name in ((near, "near.nii.gz"), (far, "far.nii.gz")):
        nib.save(nib.Nifti1Image(noise(20, 20, 4), affine), tmp_path / name)
    grid = read_scan(scan).grid
    assert read_mask(tmp_path / "near.nii.gz", grid).all()
    refuses(lambda: read_mask(tmp_path / "far.nii.gz", grid), "far.nii.gz", "0.5 mm")


def test_mask_of_another_family(tmp_path, refuses):
    scan = save(tmp_path / "x.nii.gz", noise(20, 20))
    refuses(lambda: read_scan(scan, mask=save(tmp_path / "m.png", noise(20, 20))), "m.png", "NIfTI")


def test_values_that_do_not_fit(tmp_path, refuses):
    path = save(tmp_path / "x.png", noise(20, 20))
    refuses(lambda: read_scan(path, spacing_mm=0), "spacing_mm")
    refuses(lambda: read_scan(path, spacing_mm=(1, float("nan"))), "spacing_mm")
    refuses(lambda: read_scan(path, spacing_mm=(1, 1, 1, 1)), "spacing_mm")
    refuses(lambda: read_scan(path, position=2), "position")
    refuses(lambda: read_scan(path, modality=("T1", "T2")), "modalities")
    refuses(lambda: read_scan([path, path], twin=path), "twin")
    volume = save(tmp_path / "v.npy", noise(20, 20, 3))
    refuses(lambda: read_scan(volume, spacing_mm=(1, 1)), "slices")


def test_spacing_that_contradicts_the_header_is_a_warning(tmp_path):
    path = save(tmp_path / "x.nii.gz", noise(20, 20, 4))
    assert read_scan(path, spacing_mm=1).warnings == ()
    scan = read_scan(path, spacing_mm=3)
    assert scan.grid.spacing == (1, 1, 1)
    assert "header" in scan.warnings[0]
