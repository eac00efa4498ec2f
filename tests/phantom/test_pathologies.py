"""Every pathology in every size: as large as asked for, in the brain, without folding."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from unlesion.errors import BadInput
from unlesion.phantom import PATHOLOGIES
from unlesion.phantom.anatomy import OVERSAMPLING, Anatomy
from unlesion.phantom.pathologies import DISPLACED, STANDARD, TEXTURE, Lesion
from unlesion.phantom.person import Person, draw_person
from unlesion.phantom.scanner import draw_scanner
from unlesion.phantom.seeds import stream
from unlesion.phantom.signals import SIGNALS, add_lesion
from unlesion.synthesis import average_blocks, jacobian_determinant

Pair = tuple[NDArray[np.float32], NDArray[np.float32]]
MODALITIES = ("T1", "T2", "FLAIR")


@cache
def anatomy(spacing: float = 4.0) -> Anatomy:
    return draw_person(21, spacing_mm=spacing).anatomy


@cache
def scanned(pathology: str, volume_ml: float) -> tuple[Person, dict[str, Pair]]:
    """A person, and by modality image and twin."""
    person = draw_person(21, pathology=pathology, volume_ml=volume_ml, spacing_mm=4.0)
    return person, {name: person.scan(name, draw_scanner(0, "A", name), name) for name in MODALITIES}


def usual(pathology: str) -> float:
    return min(20.0, PATHOLOGIES[pathology].largest_ml)


def grown(pathology: str, volume_ml: float | None, seed: int = 0, spacing: float = 4.0) -> Lesion:
    return PATHOLOGIES[pathology](anatomy(spacing), stream(seed, pathology), volume_ml=volume_ml)


@settings(max_examples=15, deadline=None)
@given(pathology=st.sampled_from(sorted(PATHOLOGIES)), share=st.floats(0, 1), seed=st.integers(0, 2**32))
def test_volumes_are_met(pathology: str, share: float, seed: int) -> None:
    kind = PATHOLOGIES[pathology]
    # A voxel of the fine space has 0.008 ml here: below 0.2 ml it decides, and in a thin layer sooner.
    least = 2.0 if pathology == "ventricular enlargement" else 0.2
    asked = max(kind.smallest_ml, least) ** (1 - share) * kind.largest_ml**share
    found = grown(pathology, asked, seed).volume_ml(anatomy())
    assert found == pytest.approx(asked, rel=0.3)


@pytest.mark.parametrize("pathology", PATHOLOGIES)
def test_the_smallest_is_met_on_finer_voxels(pathology: str) -> None:
    asked = PATHOLOGIES[pathology].smallest_ml
    lesion = grown(pathology, asked, spacing=2.0)
    assert lesion.volume_ml(anatomy(2.0)) == pytest.approx(asked, rel=0.3)


def test_together_they_span_a_twentieth_to_sixty_ml() -> None:
    assert min(kind.smallest_ml for kind in PATHOLOGIES.values()) == 0.05
    assert max(kind.largest_ml for kind in PATHOLOGIES.values()) == 60
    assert all(name == kind.name for name, kind in PATHOLOGIES.items())
    assert set(STANDARD) < set(PATHOLOGIES)


@pytest.mark.parametrize("pathology", PATHOLOGIES)
def test_lesions_are_deterministic_and_of_known_tissue(pathology: str) -> None:
    first, second, other = grown(pathology, 2.0), grown(pathology, 2.0), grown(pathology, 2.0, seed=1)
    fine = anatomy().fine
    np.testing.assert_array_equal(first.fraction(fine), second.fraction(fine))
    assert (first.fraction(fine) != other.fraction(fine)).any()
    for patch in first.patches:
        assert patch.kind in SIGNALS or patch.kind in (TEXTURE, DISPLACED)
        assert patch.fraction.shape == tuple(part.stop - part.start for part in patch.window)
        assert patch.fraction.min() >= 0 and patch.fraction.max() <= 1 + 1e-5


@pytest.mark.parametrize("pathology", PATHOLOGIES)
@pytest.mark.parametrize("wrong", [0.0, -1.0, 0.01, 1000.0, float("nan")])
def test_volumes_that_it_does_not_come_in_are_refused(pathology: str, wrong: float) -> None:
    with pytest.raises(BadInput, match="the phantom makes"):
        grown(pathology, wrong)


@pytest.mark.parametrize("pathology", PATHOLOGIES)
def test_displacements_never_fold(pathology: str) -> None:
    for volume in (PATHOLOGIES[pathology].smallest_ml, PATHOLOGIES[pathology].largest_ml):
        effect = grown(pathology, volume).mass_effect
        if effect is not None:
            assert jacobian_determinant(effect.displacement, effect.spacing).min() > 0


@pytest.mark.parametrize("pathology", PATHOLOGIES)
def test_masks_are_in_the_brain_and_of_the_volume(pathology: str) -> None:
    asked = usual(pathology)
    person, _ = scanned(pathology, asked)
    mask = person.mask()
    assert mask.any() and not (mask & ~person.anatomy.brain).any()
    # Coarse voxels round thin and small lesions off.
    assert np.count_nonzero(mask) * 0.064 == pytest.approx(asked, rel=0.6)


@pytest.mark.parametrize("pathology", PATHOLOGIES)
def test_twin_and_image_differ_only_where_patches_and_displacement_reach(pathology: str) -> None:
    person, scans = scanned(pathology, usual(pathology))
    lesion, fine = person.lesion, person.anatomy.fine
    assert lesion is not None
    touched = lesion.fraction(fine) > 0
    if lesion.mass_effect is not None:
        effect = lesion.mass_effect
        touched[effect.window] |= (np.abs(effect.displacement) > 1e-3).any(axis=0)
    touched = average_blocks(touched.astype(np.float32), OVERSAMPLING) > 0
    # The point spread function carries the change over the next two voxels.
    reach = ndimage.binary_dilation(touched, iterations=2)
    for image, twin in scans.values():
        changed = image != twin
        assert changed[person.mask()].mean() > 0.7
        assert not changed[~reach].any()


@pytest.mark.parametrize(
    ("pathology", "modality", "sign"),
    [
        ("chronic stroke", "T1", -1),
        ("chronic stroke", "T2", 1),
        ("chronic stroke", "FLAIR", -1),
        ("resection cavity", "T1", -1),
        ("resection cavity", "T2", 1),
        ("resection cavity", "FLAIR", -1),
        ("microbleeds", "T2", -1),
        ("microbleeds", "FLAIR", -1),
        ("ventricular enlargement", "T1", -1),
        ("ventricular enlargement", "T2", 1),
        ("ventricular enlargement", "FLAIR", -1),
    ],
)
def test_signs_of_the_signal(pathology: str, modality: str, sign: int) -> None:
    person, scans = scanned(pathology, usual(pathology))
    image, twin = scans[modality]
    change = (image - twin)[person.mask()]
    assert np.median(change) * sign > 0


def test_old_strokes_have_a_bright_rim_on_flair_around_a_dark_core() -> None:
    person, scans = scanned("chronic stroke", usual("chronic stroke"))
    image, twin = scans["FLAIR"]
    assert person.lesion is not None
    scar, hollow = person.lesion.patches
    assert (scar.kind, hollow.kind) == ("gliosis", "cavity")
    rim = np.zeros(person.anatomy.fine.shape, np.float32)
    rim[scar.window] = scar.fraction * (1 - hollow.fraction)
    rim = average_blocks(rim, OVERSAMPLING) > 0.7
    change = image - twin
    assert change[rim].mean() > 0
    assert change[person.mask() & ~ndimage.binary_dilation(rim)].mean() < 0


@pytest.mark.parametrize("seed", range(4))
def test_ventricles_grow_by_the_fluid_that_the_mask_marks(seed: int) -> None:
    healthy = anatomy()
    lesion = grown("ventricular enlargement", 30.0, seed)
    effect, (patch,) = lesion.mass_effect, lesion.patches
    assert effect is not None and patch.kind == DISPLACED
    near = ndimage.zoom(healthy.from_ventricles, OVERSAMPLING, order=1)[patch.window] < 12
    before, after = healthy.fluid[patch.window], effect.apply(healthy.fluid)
    gained = float((after - before)[near].sum()) * healthy.fine.spacing**3 / 1000
    assert gained > 20
    marked = patch.fraction > 0.5
    assert (after[marked] > 0.5).all() and (before[marked] < 0.5).all()


def test_a_brain_without_ventricles_has_none_to_enlarge() -> None:
    from dataclasses import replace

    without = replace(anatomy(), from_ventricles=np.full_like(anatomy().from_ventricles, 50.0))
    lesion = PATHOLOGIES["ventricular enlargement"](without, stream(0, "none"), volume_ml=10.0)
    assert not lesion.patches and lesion.mass_effect is None and lesion.volume_ml(without) == 0


@pytest.mark.parametrize("seed", range(6))
def test_texture_lesions_keep_the_mean_and_change_the_texture(seed: int) -> None:
    from unlesion.phantom.contrast import appearance, ideal_signal

    healthy, lesion = anatomy(2.0), grown("iso-intense texture", 12.0, seed, spacing=2.0)
    (patch,) = lesion.patches
    look = appearance("T1")
    twin = ideal_signal(healthy, look, stream(0, "tissue"))
    sick = add_lesion(twin, lesion, healthy.fine, look, "T1", stream(0, "mottling"))
    inside = lesion.fraction(healthy.fine) > 0.5
    assert sick[inside].mean() == pytest.approx(twin[inside].mean(), rel=0.01)
    rough = [(image - ndimage.gaussian_filter(image, 2.0))[inside].std() for image in (twin, sick)]
    if patch.strength > 0:
        assert rough[1] > 1.25 * rough[0]
    else:
        assert rough[1] < 0.8 * rough[0]
    outside = lesion.fraction(healthy.fine) == 0
    np.testing.assert_array_equal(sick[outside], twin[outside])
