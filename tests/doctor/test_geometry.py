from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np

from tests.doctor.conftest import Planted, draw, findings_in


def _volume(
    path: Path, *, affine: np.ndarray | None = None, shape: tuple[int, int, int] = (24, 26, 22), **forms: int
) -> None:
    """A block in air; `qform` and `sform` are codes."""
    seed = sum(path.name.encode())
    voxels = np.zeros(shape, np.float32)
    voxels[4:-4, 4:-4, 4:-4] = np.random.default_rng(seed).normal(300, 20, [size - 8 for size in shape])
    image = nibabel.Nifti1Image(voxels, np.diag([3.0, 3, 3, 1]) if affine is None else affine)
    header = image.header
    header.set_qform(image.affine, code=forms.get("qform", 1))
    header.set_sform(image.affine, code=forms.get("sform", 1))
    # Without an affine of its own the header stays as it is.
    nibabel.save(nibabel.Nifti1Image(voxels, None, header), path)


def test_one_scan_is_summed_up(tmp_path: Path) -> None:
    _volume(tmp_path / "a.nii.gz")
    found = findings_in(tmp_path / "a.nii.gz")
    assert set(found) == {"scan.geometry"}
    assert "26 x 24 x 22 voxels, 3 x 3 x 3 mm, stored as RAS" in found["scan.geometry"].sentence


def test_left_and_right_may_be_a_guess(tmp_path: Path) -> None:
    _volume(tmp_path / "a.nii.gz")
    _volume(tmp_path / "b.nii.gz", qform=0, sform=0)
    _volume(tmp_path / "c.nii.gz", qform=0, sform=2)
    found = findings_in(tmp_path)
    assert found["sides.guessed"].where == ("b",)
    assert found["sides.guessed"].level == "warning"
    assert "sides.unknown" not in found


def test_forms_that_disagree(tmp_path: Path) -> None:
    for name in ("a", "b"):
        _volume(tmp_path / f"{name}.nii.gz")
    image = nibabel.load(tmp_path / "b.nii.gz")
    voxels, header = np.asarray(image.dataobj), image.header
    header.set_qform(np.diag([-3.0, 3, 3, 1]), code=1)
    nibabel.save(nibabel.Nifti1Image(voxels, None, header), tmp_path / "b.nii.gz")
    assert findings_in(tmp_path)["sides.conflict"].where == ("b",)


def test_mixed_spacing_view_and_axes(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        _volume(tmp_path / f"{name}.nii.gz")
    _volume(tmp_path / "d.nii.gz", affine=np.diag([-3.0, 3, 5, 1]))
    found = findings_in(tmp_path)
    for code in ("mixed.spacing", "mixed.views", "mixed.axes", "mixed.grids"):
        assert found[code].where == ("d",)
        assert found[code].level == "note"
    assert "RAS (3), LAS (1)" in found["mixed.axes"].what


def test_oblique(tmp_path: Path) -> None:
    turn = np.eye(4)
    angle = np.radians(12)
    turn[1:3, 1:3] = 3 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn[0, 0] = 3
    _volume(tmp_path / "a.nii.gz")
    _volume(tmp_path / "b.nii.gz", affine=turn)
    found = findings_in(tmp_path)["geometry.oblique"]
    assert found.where == ("b",)
    assert "12 degrees" in found.what


def test_mixed_sizes_modalities_and_dimensions(cohort: Planted) -> None:
    cohort.save("s01.png", draw(1, size=60)[0])
    cohort.rows[2]["modality"] = "T2"
    cohort.rows[3]["modality"] = ""
    _volume(cohort.folder / "v.nii.gz")
    cohort.rows[4]["path"] = "v.nii.gz"
    found = cohort.examine()
    assert found["mixed.sizes"].where == ("s01",)
    assert found["mixed.modalities"].level == "warning"
    assert "1 T2" in found["mixed.modalities"].what
    assert found["modality.unknown"].where == ("s03",)
    assert found["mixed.dimensions"].where == ("v",)


def test_heads_among_stripped_brains(cohort: Planted) -> None:
    rows, columns = np.mgrid[-1:1:48j, -1:1:48j]
    radius = np.hypot(rows / 0.95, columns / 0.8)
    for number in (0, 1):
        head, _ = draw(number)
        head = np.where((radius < 1) & (radius > 0.85), 250, head).astype(np.uint8)
        air = np.random.default_rng(number).integers(1, 8, head.shape).astype(np.uint8)
        cohort.save(f"s0{number}.png", np.maximum(head, air))
    found = cohort.examine()["mixed.stripping"]
    assert found.where == ("s00", "s01")
    assert "heads among skull-stripped" in found.what


def test_spacing_of_the_manifest(cohort: Planted) -> None:
    for name in ("v.nii.gz", "w.nii.gz"):
        _volume(cohort.folder / name)
    cohort.rows[0] |= {"path": "v.nii.gz", "spacing_mm": "3"}
    cohort.rows[1] |= {"path": "w.nii.gz", "spacing_mm": "1"}
    cohort.rows[2]["spacing_mm"] = "0.5,0.6"
    found = cohort.examine()
    assert found["spacing.disagrees"].where == ("w",)
    assert "s02" not in found["spacing.unknown"].where
    assert "s03" in found["spacing.unknown"].where


def test_what_a_reader_had_to_assume_is_said(tmp_path: Path) -> None:
    _volume(tmp_path / "a.nii.gz")
    _volume(tmp_path / "b.nii.gz")
    image = nibabel.load(tmp_path / "b.nii.gz")
    voxels, header = np.asarray(image.dataobj), image.header
    sheared = np.diag([3.0, 3, 3, 1])
    sheared[0, 1] = 1.5
    header.set_sform(sheared, code=2)
    nibabel.save(nibabel.Nifti1Image(voxels, None, header), tmp_path / "b.nii.gz")
    found = findings_in(tmp_path)
    assert found["reader.note"].where == ("b",)
    assert found["reader.note"].level == "warning"
