from __future__ import annotations

import csv
import time

import numpy as np
import pytest
from scipy import ndimage

from tests.prepare.scenes import radius, volume_scan
from unlesion.prepare import load_recipe, template
from unlesion.scans import Scan, read_scan

CENTRED = {"align.how": "centre"}


def ball(shape=(100, 90, 80), centre=(50, 45, 40), axes=(40, 32, 34)) -> np.ndarray:
    r = radius(shape, centre, axes)
    rows = np.arange(shape[0])[:, None, None] - centre[0]
    return np.where(r < 1, 120.0 - 30 * r + 15 * np.cos(rows / 8.0), 0.0)


def moved_template(angle: float, scale: float, shift: tuple[float, float, float]) -> tuple[Scan, np.ndarray]:
    """The template, rotated in-plane, scaled and shifted: a scan and template mm -> scan index."""
    data, origin = template.brain_template()
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    shape = (90, 80, 85)
    size = 2.5
    middle = (np.array(shape) - 1) / 2
    # Scan index -> template mm, and from there to the template's voxels.
    to_mm = scale * size * turn
    offset = np.array([0.0, 0.0, 5.0]) - to_mm @ (middle + np.array(shift) / size)
    image = ndimage.affine_transform(
        data, to_mm / template.COARSE_MM, (offset - origin) / template.COARSE_MM, output_shape=shape, order=1
    )
    image = np.where(image > 0.1, 800 * image, 0)
    to_scan = np.eye(4)
    to_scan[:3, :3] = np.linalg.inv(to_mm)
    to_scan[:3, 3] = -np.linalg.inv(to_mm) @ offset
    return volume_scan(image, spacing=(size, size, size)), to_scan


def test_a_volume_becomes_slices() -> None:
    prepared = load_recipe("brain-mri", CENTRED).prepare(volume_scan(ball(), spacing=(2.0, 2.0, 2.0)))
    slices = len(prepared)
    assert prepared.images.shape == (slices, 1, 64, 64) and prepared.roi.shape == (slices, 64, 64)
    assert 25 < slices < 45
    assert (np.diff(prepared.positions) > 0).all()
    assert 0 <= prepared.positions[0] < 0.1 and 0.9 < prepared.positions[-1] <= 1
    back = prepared.restore(prepared.images[:, 0])
    inside = ball() > 0
    assert back.shape == (100, 90, 80)
    assert 2 * (inside & prepared.restored_roi).sum() / (inside.sum() + prepared.restored_roi.sum()) > 0.97
    healthy = prepared.restore_healthy(prepared.images)[0]
    assert np.abs(healthy - ball())[inside].mean() < 4
    assert np.array_equal(healthy[~prepared.restored_roi], ball()[~prepared.restored_roi].astype(np.float32))


def test_size_and_place_do_not_matter_to_centred_volumes() -> None:
    recipe = load_recipe("brain-mri", CENTRED)
    one = recipe.prepare(volume_scan(ball(), spacing=(2.0, 2.0, 2.0)))
    other = recipe.prepare(volume_scan(ball(centre=(46, 50, 44)), spacing=(2.2, 2.2, 2.2)))
    assert len(one) == len(other)
    assert (one.roi ^ other.roi).mean() < 0.02 * one.roi.mean()
    assert other.spacing[0] == pytest.approx(1.1 * one.spacing[0], rel=0.02)


def test_range_of_slices() -> None:
    some = load_recipe(
        "brain-mri", {**CENTRED, "slices.lowest": 0.4, "slices.highest": 0.6, "slices.step_mm": 2.0}
    )
    prepared = some.prepare(volume_scan(ball(), spacing=(2.0, 2.0, 2.0)))
    assert prepared.positions.min() > 0.4 and prepared.positions.max() < 0.6
    assert prepared.slice_mm < 2.5


@pytest.mark.parametrize(("angle", "scale", "shift"), [(0.12, 1.1, (8, -6, 4)), (-0.1, 0.9, (-10, 5, -6))])
def test_the_template_is_found_again(angle: float, scale: float, shift: tuple[float, float, float]) -> None:
    scan, truth = moved_template(angle, scale, shift)
    prepared = load_recipe("brain-mri").prepare(scan)
    assert prepared.warnings == ()
    straight = load_recipe("brain-mri").prepare(moved_template(0.0, 1.0, (0, 0, 0))[0])
    common = min(len(prepared), len(straight))
    assert len(prepared) - common <= 1 and len(straight) - common <= 1
    # Where the same prepared pixels lie in both, by the true map: within a few millimetres.
    index = np.array([(20, 20, 8, 1), (44, 40, 20, 1), (32, 50, 30, 1)], dtype=float).T
    found = np.linalg.inv(truth) @ prepared.placement.matrix @ index
    expected = np.linalg.inv(moved_template(0.0, 1.0, (0, 0, 0))[1]) @ straight.placement.matrix @ index
    shift_slices = (prepared.positions[0] - straight.positions[0]) * 154
    assert abs(shift_slices) < 1
    assert np.abs(found - expected)[:3].max() < 5.0


def test_template_alignment_repeats_exactly() -> None:
    scan, _ = moved_template(0.05, 1.05, (3, 2, 1))
    one, two = (load_recipe("brain-mri").prepare(scan) for _ in range(2))
    assert np.array_equal(one.placement.matrix, two.placement.matrix)
    assert np.array_equal(one.images, two.images)


def test_what_cannot_be_aligned_is_centred_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def stuck(*_: object) -> np.ndarray:
        raise RuntimeError("itk::ERROR\nAll samples map outside moving image buffer")

    scan = volume_scan(ball(), spacing=(2.0, 2.0, 2.0))
    monkeypatch.setattr(template, "_register", stuck)
    prepared = load_recipe("brain-mri").prepare(scan)
    centred = load_recipe("brain-mri", CENTRED).prepare(scan)
    assert "centred instead" in prepared.warnings[0] and "\n" not in prepared.warnings[0]
    assert np.array_equal(prepared.images, centred.images)
    monkeypatch.setattr(template, "_register", lambda *_: np.diag([0.1, 2.0, 0.5, 1.0]))
    assert "stretch" in load_recipe("brain-mri").prepare(scan).warnings[0]


@pytest.mark.parametrize("slices", [2, 3, 8])
def test_thin_slabs(slices: int) -> None:
    prepared = load_recipe("brain-mri").prepare(
        volume_scan(ball()[:, :, 36 : 36 + slices], spacing=(2.0, 2.0, 2.0))
    )
    assert np.isfinite(prepared.images).all() and len(prepared) >= 1
    assert prepared.restore(prepared.images[:, 0]).shape == (100, 90, slices)


@pytest.mark.real
@pytest.mark.slow
def test_real_brains_lie_on_one_another(real_data) -> None:
    with (real_data / "manifest.csv").open(newline="") as stream:
        rows = [r for r in csv.DictReader(stream) if r["split"] == "val"]
    chosen = [r for r in rows if r["source"] == "malf_t1"] + [r for r in rows if r["source"] == "mslub"]
    recipe = load_recipe("brain-mri")
    means, regions = {}, []
    for row in chosen:
        scan = read_scan(real_data / row["path"], key=row["path"])
        start = time.perf_counter()
        prepared = recipe.prepare(scan)
        assert time.perf_counter() - start < 30
        assert prepared.warnings == ()
        middle = np.abs(prepared.positions - 0.55).argmin()
        regions.append(prepared.roi[middle])
        if row["modality"] == "T1":
            means[row["path"]] = prepared.images[middle, 0]
    overlap = [2 * (a & b).sum() / (a.sum() + b.sum()) for a in regions for b in regions]
    assert min(overlap) > 0.92
    pictures = [image.ravel() for image in means.values()]
    assert np.corrcoef(pictures).min() > 0.85


@pytest.mark.parametrize(("how", "taken"), [("centre", "a whole one"), ("template", "the upper end of one")])
def test_a_slab_is_told(how: str, taken: str) -> None:
    """Which part of a head it shows, nothing finds out: whoever learns from it should know."""
    recipe = load_recipe("brain-mri", {"align.how": how})
    whole = volume_scan(ball(), spacing=(2.0, 2.0, 2.0))
    slab = volume_scan(ball()[:, :, 30:46], spacing=(2.0, 2.0, 2.0))
    assert not any("height" in words for words in recipe.prepare(whole).warnings)
    (said,) = [words for words in recipe.prepare(slab).warnings if "height" in words]
    assert "only 32 mm" in said and taken in said
