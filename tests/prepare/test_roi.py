from __future__ import annotations

import csv

import numpy as np
import pytest
from scipy import ndimage

from tests.prepare.scenes import brain_picture, flat_scan, head_parts, radius, volume_scan
from unlesion.prepare import brain, foreground
from unlesion.prepare.roi import RoiStep, is_choice
from unlesion.prepare.stripped import is_stripped, is_too_small_for_a_head
from unlesion.scans import read_scan

PIXEL = (240 / 256, 240 / 256, 1.0)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / max(a.sum() + b.sum(), 1))


def test_stripped_brains_are_kept_as_they_are() -> None:
    image = brain_picture()
    assert is_stripped(image[:, :, None].astype(np.float32), (1.5, 1.5, 1.0))
    found = RoiStep(how="brain").find(flat_scan(image), (1.5, 1.5, 1.0))
    assert found.stripped
    assert dice(found.mask[:, :, 0], image > 0) > 0.99
    assert found.mask[64, 64]


def test_edges_that_ring_around_zero_are_background() -> None:
    image = ndimage.shift(brain_picture(), (0.4, 0.3), order=3)
    image[np.abs(image) < 1e-9] = 0.0
    assert image.min() < 0
    found = foreground.nonzero(image[None, :, :, None].astype(np.float32))
    assert dice(found[:, :, 0], brain_picture() > 0) > 0.97


def test_heads_are_not_taken_for_stripped() -> None:
    image, _, _ = head_parts()
    assert not is_stripped(image[:, :, None].astype(np.float32), PIXEL)
    # A scanner that sets the air to 0: now only the scalp tells.
    clean = np.where(image < 12, 0, image)
    clean[radius(image.shape, (128, 128), (0.4 * 256, 0.32 * 256)) < 1] += 1
    assert not is_stripped(clean[:, :, None].astype(np.float32), PIXEL)


@pytest.mark.parametrize("tumour", [None, 30.0, 230.0])
def test_brain_in_a_head(tumour: float | None) -> None:
    image, inside, scalp = head_parts()
    blob = radius(image.shape, (110, 165), (22, 20)) < 1
    if tumour is not None:
        image[blob & inside] = tumour
    found = RoiStep(how="brain").find(flat_scan(image), PIXEL)
    mask = found.mask[:, :, 0]
    assert not found.stripped
    assert dice(mask, inside) > 0.93
    assert (mask & scalp).sum() < 0.02 * scalp.sum()
    if tumour == 230.0:
        assert (mask & blob & inside).sum() > 0.97 * (blob & inside).sum()


def test_brain_in_a_head_in_three_dimensions() -> None:
    shape, centre = (90, 80, 70), (45, 40, 30)
    r = radius(shape, centre, (36, 29, 30))
    image = np.where(r < 0.8, 90.0, 4.0)
    image[(r > 0.92) & (r < 1.0)] = 240.0
    image += np.random.default_rng(0).normal(0, 2, shape)
    found = brain.estimate(
        image.astype(np.float32), foreground.head(image.astype(np.float32)), (2.5, 2.5, 2.5)
    )
    assert dice(found, r < 0.8) > 0.9
    assert not (found & (r > 0.92)).any()


def test_a_mask_that_leaves_tissue_out_is_used_as_it_is() -> None:
    image, inside, _ = head_parts()
    head = foreground.head(image[:, :, None].astype(np.float32))
    assert is_choice(image[:, :, None], inside[:, :, None])
    assert not is_choice(image[:, :, None], head)
    given = RoiStep(how="brain").find(flat_scan(image, roi=inside[:, :, None]), PIXEL)
    assert np.array_equal(given.mask[:, :, 0], inside)
    # A mask of the whole head is no brain mask: the brain is estimated inside it.
    estimated = RoiStep(how="brain").find(flat_scan(image, roi=head), PIXEL)
    assert dice(estimated.mask[:, :, 0], inside) > 0.93


def test_a_given_brain_with_a_bright_rim_is_no_head() -> None:
    """A skull-stripped T2: fluid at the rim is as bright as a scalp."""
    mm = (2.5, 2.5, 2.5)
    r = radius((90, 80, 70), (45, 40, 35), (32, 26, 24))
    image = np.where(r < 1.0, 100.0, 0.0)
    image[(r > 0.85) & (r < 1.0)] = 260.0
    given = r < 1.0
    assert not is_stripped(image.astype(np.float32), mm)
    assert is_stripped(image.astype(np.float32), mm, given=given)
    # A brain mask strips no head.
    assert not is_stripped(image.astype(np.float32), mm, given=r < 0.8)
    found = RoiStep(how="brain").find(volume_scan(image, roi=given), mm)
    assert np.array_equal(found.mask, given)
    # As large as a head it is one; of a slab or a crop nobody knows.
    assert is_too_small_for_a_head(given, mm) and not is_too_small_for_a_head(given, (3.3, 3.3, 3.3))
    assert not is_too_small_for_a_head(given[:, :, 30:36], mm)
    assert not is_too_small_for_a_head(given[:, :, 35:36], mm)


def test_the_other_ways() -> None:
    image, _, _ = head_parts()
    scan = flat_scan(image)
    head = radius(image.shape, (128, 128), (0.4 * 256, 0.32 * 256)) < 1
    assert dice(RoiStep(how="head").find(scan, PIXEL).mask[:, :, 0], head) > 0.97
    assert RoiStep(how="whole").find(scan, PIXEL).mask.all()
    bordered = np.zeros((100, 120))
    bordered[10:90, 20:110] = np.random.default_rng(0).uniform(50, 200, (80, 90))
    expected = np.zeros_like(bordered, dtype=bool)
    expected[10:90, 20:110] = True
    assert np.array_equal(RoiStep(how="body").find(flat_scan(bordered), PIXEL).mask[:, :, 0], expected)


def test_nothing_found_is_said() -> None:
    noise = np.zeros((64, 64))
    noise[30, 30] = 5
    found = RoiStep(how="given_or_nonzero").find(flat_scan(noise), (1, 1, 1))
    assert found.mask.all() and "whole picture" in found.warnings[0]


@pytest.mark.parametrize("value", [0.0, 7.0])
@pytest.mark.parametrize("how", ["given_or_nonzero", "head", "brain", "body", "whole"])
def test_constant_images_are_survived(how: str, value: float) -> None:
    for scan in (flat_scan(np.full((32, 32), value)), volume_scan(np.full((32, 32, 5), value))):
        assert RoiStep(how=how).find(scan, (3.0, 3.0, 3.0)).mask.any()


@pytest.mark.real
def test_real_heads_and_stripped_brains(real_data) -> None:
    lesion, kept, wrong, heads = 0, 0, [], 0
    with (real_data / "manifest.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == "val"]
    for row in [r for r in rows if r["source"] == "lgg_flair"][::3]:
        mask = real_data / row["mask_path"] if row["mask_path"] else None
        scan = read_scan(real_data / row["path"], mask=mask, roi=real_data / row["roi_path"], key=row["path"])
        found = RoiStep(how="brain").find(scan, PIXEL)
        heads += 1
        if found.stripped:
            wrong.append(row["path"])
        if scan.lesions is not None:
            lesion += int(scan.lesions.sum())
            kept += int((scan.lesions & found.mask).sum())
    assert heads > 40 and not wrong
    assert kept / lesion > 0.97
    for row in [r for r in rows if r["source"] == "oasis_t1_2d"][::16]:
        scan = read_scan(real_data / row["path"], key=row["path"])
        assert RoiStep(how="brain").find(scan, (1.5, 1.5, 1.0)).stripped, row["path"]


def test_the_ends_of_a_slab_are_not_the_surface_of_the_head() -> None:
    image, inside, _ = head_parts()
    slab = np.repeat(image[::2, ::2, None], 12, axis=2).astype(np.float32)
    found = brain.estimate(slab, foreground.head(slab), (1.9, 1.9, 3.0))
    for number in (0, 6, 11):
        assert dice(found[:, :, number], inside[::2, ::2]) > 0.9


def test_a_brain_made_to_have_a_mean_of_zero_is_whole() -> None:
    """Half of it lies below its background; that half was taken for background."""
    image = brain_picture().astype(np.float32)
    inside = image > 0
    image[inside] = (image[inside] - image[inside].mean()) / image[inside].std()
    found = foreground.nonzero(image[None, :, :, None])
    assert dice(found[:, :, 0], inside) > 0.99
    assert is_stripped(image[:, :, None], (1.5, 1.5, 1.0))
