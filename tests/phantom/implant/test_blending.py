"""What an implanted lesion changes, and what it leaves alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from unlesion.phantom.implant import Implant, Implanted, RealAnatomy, blend_in, make_implant
from unlesion.phantom.implant.levels import level_of
from unlesion.phantom.pathologies import PATHOLOGIES, Lesion, Patch
from unlesion.phantom.signals import SIGNALS

TISSUE = [name for name in PATHOLOGIES if name not in ("iso-intense texture", "ventricular enlargement")]


def made(
    real: RealAnatomy, pathology: str, volume_ml: float = 3.0, strength: float = 1.0, seed: int = 1
) -> Implanted:
    return make_implant(
        real, Implant(key="x", pathology=pathology, volume_ml=volume_ml, strength=strength, seed=seed)
    )


def whole(
    real: RealAnatomy, kind: str, centre: tuple[int, int, int], radius: int, strength: float = 1.0
) -> Lesion:
    """A ball of one tissue, around a voxel of the fine space."""
    window = tuple(slice(at - radius - 4, at + radius + 4) for at in centre)
    grid = np.indices([2 * radius + 8] * 3) - (radius + 3.5)
    distance = np.sqrt((grid**2).sum(axis=0)) - radius
    return Lesion([Patch(window, kind, np.clip(0.5 - distance, 0, 1).astype(np.float32), strength)])  # type: ignore[arg-type]


@pytest.mark.parametrize("pathology", list(PATHOLOGIES))
def test_in_a_slice(real_slice: RealAnatomy, pathology: str) -> None:
    found = made(real_slice, pathology)
    _check(real_slice, found, pathology)
    assert found.size_mm2 == pytest.approx(found.blended.mask.sum() * 4.0)
    assert found.size_ml == pytest.approx(3.0, rel=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("pathology", list(PATHOLOGIES))
def test_in_a_volume(real_volume: RealAnatomy, pathology: str) -> None:
    found = made(real_volume, pathology)
    _check(real_volume, found, pathology)
    assert found.size_mm2 is None
    assert found.size_ml == pytest.approx(found.blended.mask.sum() * 8 / 1000)
    assert found.size_ml == pytest.approx(3.0, rel=0.35)


def _check(real: RealAnatomy, found: Implanted, pathology: str) -> None:
    image, mask, original = found.blended.image, found.blended.mask, real.image
    brain = real.brain
    assert mask.any() and not (mask & ~brain).any()
    # Nothing outside the brain, nothing far from the lesion and its mass effect, nothing below 0.
    assert np.array_equal(image[~brain], original[~brain])
    assert image.min() >= 0 and np.isfinite(image).all()
    if pathology != "ventricular enlargement":
        far = ndimage.distance_transform_edt(~mask, sampling=real.box.sizes) > 60
        assert np.array_equal(image[far], original[far])
    assert (image != original)[mask].mean() > 0.8
    if pathology == "iso-intense texture":
        assert abs(found.blended.contrast) < 0.05
    if pathology in ("multiple sclerosis", "white-matter hyperintensities"):
        # No plaque in fluid.
        assert (real.tissue.fluid[mask] > 0.5).mean() < 0.02


def test_weak_is_weaker(real_slice: RealAnatomy) -> None:
    strong, weak = (made(real_slice, "multiple sclerosis", strength=share) for share in (1.0, 0.3))
    assert np.array_equal(strong.blended.mask, weak.blended.mask)
    assert strong.blended.contrast < -0.2
    assert weak.blended.contrast == pytest.approx(0.3 * strong.blended.contrast, rel=0.05)


def test_a_ball_of_plaque(real_volume: RealAnatomy) -> None:
    """Level, noise and rim of a lesion whose shape is known, in the middle of white matter."""
    real = real_volume
    solid = ndimage.distance_transform_edt(real.anatomy.white > 0.5)
    centre = np.unravel_index(int(solid.argmax()), solid.shape)
    radius = 7
    blended = blend_in(real, whole(real, "plaque", centre, radius), np.random.default_rng(0))  # type: ignore[arg-type]
    change = blended.image - real.image
    core = ndimage.binary_erosion(blended.mask, iterations=2)
    assert core.sum() > 3

    # Mean level: most of the way from white matter to the plaque's own level.
    wanted = level_of("plaque", real.tissue) - real.tissue.levels["white"]
    assert wanted < 0
    white = core & (real.tissue.white > 0.9)
    assert change[white].mean() == pytest.approx(wanted, rel=0.35)
    # A soft rim: the step takes more than one voxel.
    shells = ndimage.distance_transform_edt(~core, sampling=real.box.sizes)
    steps = [change[(shells > near) & (shells <= near + 2) & real.brain].mean() for near in (0, 2, 4, 8)]
    assert steps[0] < steps[1] < steps[2] <= 0.02 * abs(wanted)
    assert abs(steps[-1]) < 0.1 * abs(wanted)


def test_noise_is_kept(real_volume: RealAnatomy) -> None:
    """Local noise in an oedema as around it: no airbrush."""
    real = real_volume
    solid = ndimage.distance_transform_edt(real.anatomy.white > 0.5)
    centre = np.unravel_index(int(solid.argmax()), solid.shape)
    lesion = whole(real, "plaque", centre, 10)  # type: ignore[arg-type]
    blended = blend_in(real, lesion, np.random.default_rng(0))
    core = ndimage.binary_erosion(blended.mask) & (real.tissue.white > 0.9)
    assert core.sum() > 30
    before, after = (_finest(image)[core].std() for image in (real.image, blended.image))
    assert after == pytest.approx(before, rel=0.25)


def _finest(image: np.ndarray) -> np.ndarray:
    """What changes from voxel to voxel along all axes, and so is neither anatomy nor mottling."""
    for axis in range(3):
        image = ndimage.correlate1d(image, np.array([-0.5, 1.0, -0.5]), axis=axis)
    return image


def test_levels_keep_the_order_of_tissues(real_volume: RealAnatomy) -> None:
    """On T1 a plaque lies between grey and white matter, a cavity near fluid."""
    tissue = real_volume.tissue
    levels = tissue.levels
    assert levels["grey"] < level_of("plaque", tissue) < levels["white"]
    assert level_of("cavity", tissue) < 0.5 * levels["grey"]
    assert level_of("plaque", tissue, strength=0.0) == pytest.approx(levels["white"])
    for kind in SIGNALS:
        assert 0 <= level_of(kind, tissue) < 2 * levels["white"]


def test_same_seed_same_lesion(real_slice: RealAnatomy) -> None:
    first, again, other = (made(real_slice, "glioma", seed=seed) for seed in (5, 5, 6))
    assert np.array_equal(first.blended.image, again.blended.image)
    assert not np.array_equal(first.blended.mask, other.blended.mask)


@pytest.mark.slow
def test_mass_effect_moves_neighbours_and_keeps_the_rest(real_volume: RealAnatomy) -> None:
    found = made(real_volume, "glioma", volume_ml=15.0)
    changed = (found.blended.image != real_volume.image) & ~found.blended.mask
    distance = ndimage.distance_transform_edt(~found.blended.mask, sampling=real_volume.box.sizes)
    assert (distance[changed] > 4).sum() > 200
    # The surface of the brain stays where it is.
    rim = real_volume.brain & ~ndimage.binary_erosion(real_volume.brain)
    assert (found.blended.image != real_volume.image)[rim].mean() < 0.1
