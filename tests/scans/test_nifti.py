from __future__ import annotations

import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nibabel.orientations import aff2axcodes, apply_orientation, axcodes2ornt, inv_ornt_aff, ornt_transform
from scipy.spatial.transform import Rotation

from unlesion.scans import read_mask, read_scan, write_binary, write_float

PAIRS = (("R", "L"), ("A", "P"), ("S", "I"))
ALL_ORDERS = [
    "".join(pair[side] for pair, side in zip(order, sides, strict=True))
    for order in itertools.permutations(PAIRS)
    for sides in itertools.product((0, 1), repeat=3)
]


def reordered(array, affine, codes):
    """The same image, its array and affine stored in another axis order."""
    change = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(codes))
    return apply_orientation(array, change), affine @ inv_ornt_aff(change, array.shape)


def world_of(array, affine):
    """{value: world coordinates} of an image whose voxels all differ."""
    index = np.stack(np.meshgrid(*map(np.arange, array.shape), indexing="ij"), axis=-1).reshape(-1, 3)
    places = index @ affine[:3, :3].T + affine[:3, 3]
    return places[np.argsort(array.reshape(-1))]


def test_there_are_48_orders():
    assert len(set(ALL_ORDERS)) == 48


@pytest.mark.parametrize("codes", ALL_ORDERS)
def test_any_axis_order_is_one_scan_inside_and_itself_outside(codes, asymmetric, save_nifti, tmp_path):
    affine = np.array([[0.9, 0, 0, -8], [0, 1.1, 0, 5], [0, 0, 2.5, 30], [0, 0, 0, 1]])
    array, own_affine = reordered(asymmetric, affine, codes)
    path = save_nifti("x.nii.gz", array, own_affine)

    scan = read_scan(path)

    expected, canonical_affine = reordered(asymmetric, affine, "PLS")
    np.testing.assert_array_equal(scan.voxels[0], expected)
    np.testing.assert_allclose(scan.grid.affine, canonical_affine, atol=1e-5)
    np.testing.assert_allclose(scan.grid.spacing, (1.1, 0.9, 2.5), rtol=1e-6)
    assert aff2axcodes(scan.grid.affine) == ("P", "L", "S")
    np.testing.assert_array_equal(scan.grid.from_file(scan.grid.to_file(expected)), expected)

    (written,) = write_float(tmp_path / "back", scan.voxels, scan.grid)
    back, source = nib.load(written), nib.load(path)
    np.testing.assert_array_equal(back.get_fdata(), source.get_fdata())
    np.testing.assert_array_equal(back.affine, source.affine)
    assert back.get_data_dtype() == np.float32


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(
    turn=st.tuples(*[st.floats(-180, 180)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 6.0)] * 3),
    origin=st.tuples(*[st.floats(-300, 300)] * 3),
    mirrored=st.booleans(),
)
def test_oblique_affines_keep_every_voxel_where_it_was(turn, spacing, origin, mirrored, asymmetric, tmp_path):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", turn, degrees=True).as_matrix() @ np.diag(spacing)
    affine[:3, 0] *= -1 if mirrored else 1
    affine[:3, 3] = origin
    path = tmp_path / "oblique.nii"
    nib.save(nib.Nifti1Image(asymmetric, affine), path)
    source = nib.load(path)

    scan = read_scan(path)
    (written,) = write_float(tmp_path / "back", scan.voxels[0], scan.grid)
    back = nib.load(written)

    np.testing.assert_array_equal(back.affine, source.affine)
    np.testing.assert_array_equal(back.get_fdata(), source.get_fdata())
    for code in ("sform_code", "qform_code"):
        assert back.header[code] == source.header[code]
    inside = world_of(scan.voxels[0], scan.grid.affine)
    np.testing.assert_allclose(inside, world_of(asymmetric, source.affine), atol=1e-9 * 1e3)
    np.testing.assert_allclose(scan.grid.spacing, np.linalg.norm(scan.grid.affine[:3, :3], axis=0))


def test_qform_only_and_both_forms_survive(asymmetric, tmp_path):
    image = nib.Nifti1Image(asymmetric, None)
    image.header.set_qform(np.diag([-1, 1, 1, 1]) @ np.eye(4), code=1)
    nib.save(image, tmp_path / "q.nii.gz")
    scan = read_scan(tmp_path / "q.nii.gz")
    assert scan.warnings == ()
    back = nib.load(write_float(tmp_path / "b", scan.voxels, scan.grid)[0])
    assert int(back.header["qform_code"]) == 1
    assert int(back.header["sform_code"]) == 0
    np.testing.assert_array_equal(back.affine, nib.load(tmp_path / "q.nii.gz").affine)


def test_no_orientation_in_the_header_is_a_warning(asymmetric, tmp_path):
    nib.save(nib.Nifti1Image(asymmetric, None), tmp_path / "x.nii.gz")
    assert "orientation" in read_scan(tmp_path / "x.nii.gz").warnings[0]


def test_slope_and_intercept_are_applied_and_not_written_again(asymmetric, tmp_path):
    image = nib.Nifti1Image(asymmetric.astype(np.int16), np.eye(4))
    image.header.set_slope_inter(0.5, 3.0)
    nib.save(image, tmp_path / "x.nii.gz")
    scan = read_scan(tmp_path / "x.nii.gz")
    back = nib.load(write_float(tmp_path / "b", scan.voxels, scan.grid)[0])
    assert back.dataobj.slope == 1.0
    np.testing.assert_array_equal(back.get_fdata(), nib.load(tmp_path / "x.nii.gz").get_fdata())


def test_two_dimensional_file_is_one_slice(save_nifti, tmp_path):
    array = np.arange(18 * 20, dtype=np.float32).reshape(18, 20)
    scan = read_scan(save_nifti("flat.nii.gz", array))
    assert scan.grid.is_flat
    assert scan.voxels.shape == (1, 20, 18, 1)
    # File axes run right and forward; canonical rows run back, columns run left.
    np.testing.assert_array_equal(scan.voxels[0, :, :, 0], array.T[::-1, ::-1])
    back = nib.load(write_float(tmp_path / "back", scan.voxels, scan.grid)[0])
    assert back.shape == (18, 20)
    np.testing.assert_array_equal(back.get_fdata(), array)


@pytest.mark.parametrize(("thin", "rows", "columns"), [(0, 22, 20), (1, 22, 18)])
def test_single_slice_of_another_plane_keeps_its_plane(thin, rows, columns, asymmetric, save_nifti, tmp_path):
    array = asymmetric.take([3], axis=thin)
    path = save_nifti("plane.nii.gz", array)
    scan = read_scan(path)
    assert scan.voxels.shape == (1, rows, columns, 1)
    assert scan.voxels[0, 0, 0, 0] > scan.voxels[0, -1, 0, 0]  # the head is up
    back = nib.load(write_float(tmp_path / "back", scan.voxels, scan.grid)[0])
    np.testing.assert_array_equal(back.get_fdata(), array)


def test_choice_of_volume(asymmetric, save_nifti, tmp_path):
    path = save_nifti("four.nii.gz", np.stack([asymmetric, asymmetric * 2, asymmetric * 3], axis=-1))
    alone = read_scan(save_nifti("one.nii.gz", asymmetric * 2))
    scan = read_scan(path, volume=1)
    np.testing.assert_array_equal(scan.voxels, alone.voxels)
    back = nib.load(write_float(tmp_path / "back", scan.voxels, scan.grid)[0])
    assert back.shape == asymmetric.shape
    np.testing.assert_array_equal(back.get_fdata(), asymmetric * 2)


def test_a_choice_that_the_file_does_not_have_is_told(asymmetric, save_nifti, tmp_path):
    several = save_nifti("four.nii.gz", np.stack([asymmetric, asymmetric * 2], axis=-1))
    assert read_scan(several, volume=1).warnings == ()
    for path in (
        save_nifti("three.nii.gz", asymmetric),
        save_nifti("one.nii.gz", asymmetric[..., None]),
    ):
        assert read_scan(path, volume=0).warnings == ()
        assert any("volume 1 was asked for" in words for words in read_scan(path, volume=1).warnings)
    channels = read_scan([several, tmp_path / "three.nii.gz"], volume=1)
    assert [words for words in channels.warnings if "three.nii.gz holds a single one" in words]


def test_a_fourth_axis_of_one_needs_no_choice(asymmetric, save_nifti):
    assert read_scan(save_nifti("one.nii.gz", asymmetric[..., None])).voxels.shape == (1, 20, 18, 22)


def test_channels_are_written_as_the_last_axis_and_read_back_by_volume(asymmetric, save_nifti, tmp_path):
    paths = [save_nifti(f"{name}.nii.gz", asymmetric * factor) for name, factor in (("a", 1), ("b", 2))]
    scan = read_scan(paths, modality=("T1", "T2"))
    assert scan.channels == 2
    (written,) = write_float(tmp_path / "healthy", scan.voxels, scan.grid)
    assert nib.load(written).shape == (*asymmetric.shape, 2)
    for index in range(2):
        np.testing.assert_array_equal(read_scan(written, volume=index).voxels[0], scan.voxels[index])


def test_flat_channels_are_written_with_a_slice_axis(save_nifti, tmp_path):
    array = np.arange(18 * 20, dtype=np.float32).reshape(18, 20)
    scan = read_scan([save_nifti("a.nii.gz", array), save_nifti("b.nii.gz", array + 1)])
    (written,) = write_float(tmp_path / "healthy", scan.voxels, scan.grid)
    assert nib.load(written).shape == (18, 20, 1, 2)
    np.testing.assert_array_equal(read_scan(written, volume=1).voxels[0], scan.voxels[1])


def test_nifti2_stays_nifti2(asymmetric, save_nifti, tmp_path):
    scan = read_scan(save_nifti("two.nii", asymmetric, kind=nib.Nifti2Image))
    assert isinstance(nib.load(write_float(tmp_path / "b", scan.voxels, scan.grid)[0]), nib.Nifti2Image)


def test_units_other_than_millimetres(asymmetric, tmp_path):
    image = nib.Nifti1Image(asymmetric, np.diag([500.0, 500.0, 1000.0, 1]))
    image.header.set_xyzt_units("micron")
    nib.save(image, tmp_path / "small.nii.gz")
    scan = read_scan(tmp_path / "small.nii.gz")
    np.testing.assert_allclose(scan.grid.spacing, (0.5, 0.5, 1.0))
    back = nib.load(write_float(tmp_path / "b", scan.voxels, scan.grid)[0])
    np.testing.assert_array_equal(back.affine, image.affine)


def test_texts_of_the_header_do_not_reach_results(asymmetric, tmp_path):
    image = nib.Nifti1Image(asymmetric, np.eye(4))
    image.header["descrip"] = b"Doe^Jane"
    image.header["db_name"] = b"Doe^Jane"
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Doe^Jane"))
    nib.save(image, tmp_path / "x.nii")
    scan = read_scan(tmp_path / "x.nii")
    (written,) = write_float(tmp_path / "b", scan.voxels, scan.grid)
    back = nib.load(written)
    assert not back.header.extensions
    assert b"Doe" not in back.header.binaryblock
    assert b"research use" in back.header.binaryblock


def test_mask_in_another_axis_order_falls_on_the_scan(asymmetric, save_nifti, tmp_path):
    path = save_nifti("x.nii.gz", asymmetric)
    mask = (asymmetric % 7 == 0).astype(np.uint8)
    other, affine = reordered(mask, np.eye(4), "IPR")
    scan = read_scan(path, mask=save_nifti("m.nii.gz", other, affine))
    np.testing.assert_array_equal(scan.lesions, scan.voxels[0] % 7 == 0)

    (written,) = write_binary(tmp_path / "lesions", scan.lesions, scan.grid)
    back = nib.load(written)
    assert back.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asarray(back.dataobj), mask)
    np.testing.assert_array_equal(read_mask(written, scan.grid), scan.lesions)


def test_grid_travels_between_processes(asymmetric, save_nifti, tmp_path):
    import pickle

    scan = read_scan(save_nifti("x.nii.gz", asymmetric))
    grid = pickle.loads(pickle.dumps(scan.grid))
    (written,) = write_float(tmp_path / "b", scan.voxels, grid)
    np.testing.assert_array_equal(nib.load(written).get_fdata(), asymmetric)


def test_writing_is_deterministic(asymmetric, save_nifti, tmp_path):
    scan = read_scan(save_nifti("x.nii.gz", asymmetric))
    first = Path(write_float(tmp_path / "a", scan.voxels, scan.grid)[0]).read_bytes()
    second = Path(write_float(tmp_path / "b", scan.voxels, scan.grid)[0]).read_bytes()
    assert first == second


def test_a_mask_is_on_the_grid_of_its_scan_if_only_rounding_moves_it(tmp_path, refuses):
    """An oblique orientation stored as a quaternion of float32 moved corners by up to 0.3 mm: refused."""
    voxels = np.random.default_rng(0).random((20, 20, 20)).astype(np.float32)
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    nib.save(nib.Nifti1Image(voxels, affine), tmp_path / "a.nii.gz")
    for shift, fits in ((0.05, True), (0.5, False)):
        moved = affine.copy()
        moved[0, 3] = shift
        mask = tmp_path / f"mask{shift}.nii.gz"
        nib.save(nib.Nifti1Image((voxels > 0.5).astype(np.uint8), moved), mask)
        if fits:
            assert read_scan(tmp_path / "a.nii.gz", mask=mask).lesions.any()
        else:
            refuses(lambda mask=mask: read_scan(tmp_path / "a.nii.gz", mask=mask), "0.5 mm away")
