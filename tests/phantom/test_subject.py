"""Virtual people: deterministic, with lesions where they belong and exact healthy twins."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from unlesion.errors import BadInput
from unlesion.phantom import MODALITIES, PATHOLOGIES, STANDARD, VirtualSubject, make_subject
from unlesion.phantom.anatomy import OVERSAMPLING, WARP_MM, Anatomy, _warp, draw_anatomy, output_space
from unlesion.phantom.pathologies import Lesion
from unlesion.phantom.seeds import stream
from unlesion.phantom.signals import lesion_fraction
from unlesion.phantom.template import load_template
from unlesion.synthesis import average_blocks, jacobian_determinant

NO_PUSH = ["multiple sclerosis", "white-matter hyperintensities", "microbleeds", "iso-intense texture"]


@cache
def person(pathology: str | None, seed: int = 11, site: str = "A") -> VirtualSubject:
    return make_subject(seed, pathology=pathology, modality=MODALITIES, spacing_mm=4, site=site)


@cache
def sick(pathology: str, seed: int = 11) -> tuple[Anatomy, Lesion]:
    space = output_space(4.0, stream(seed, "position"))
    anatomy = draw_anatomy(space, stream(seed, "anatomy"), age=person(pathology, seed).age)
    return anatomy, PATHOLOGIES[pathology](anatomy, stream(seed, "lesion", pathology))


def test_same_seed_same_voxels() -> None:
    again = make_subject(11, pathology="glioma", modality=MODALITIES, spacing_mm=4, site="A")
    for name in MODALITIES:
        np.testing.assert_array_equal(again.images[name], person("glioma").images[name])
        np.testing.assert_array_equal(again.twins[name], person("glioma").twins[name])
    np.testing.assert_array_equal(again.mask, person("glioma").mask)


def test_other_seed_other_person() -> None:
    assert (person(None).roi != person(None, 12).roi).mean() > 0.01


def test_a_modality_does_not_depend_on_the_others_asked_for() -> None:
    alone = make_subject(11, modality="T1", spacing_mm=4, site="A")
    np.testing.assert_array_equal(alone.image, person(None).images["T1"])


@pytest.mark.parametrize(("seed", "years"), [(0, -0.7), (1, 0.0), (2, 1.0)])
def test_the_warp_of_the_template_is_one_to_one(seed: int, years: float) -> None:
    coarse = output_space(4.0, stream(seed, "position")).at(WARP_MM)
    world = _warp(load_template(), coarse, coarse, stream(seed, "anatomy"), years)
    displacement = world - np.stack(np.broadcast_arrays(*coarse.axes()))
    assert jacobian_determinant(displacement, coarse.spacing).min() > 0.1
    assert np.abs(displacement).max() > 5


@pytest.mark.parametrize("pathology", PATHOLOGIES)
def test_twin_is_the_same_person_without_disease(pathology: str) -> None:
    for name in MODALITIES:
        np.testing.assert_array_equal(person(pathology).twins[name], person(None).images[name])
    np.testing.assert_array_equal(person(pathology).roi, person(None).roi)
    assert not person(None).mask.any()


@pytest.mark.parametrize("pathology", NO_PUSH)
def test_twin_equals_image_away_from_the_lesion(pathology: str) -> None:
    anatomy, lesion = sick(pathology)
    assert lesion.mass_effect is None
    touched = average_blocks(lesion_fraction(lesion, anatomy.fine), OVERSAMPLING) > 0
    # The point spread function carries the change over the next two voxels.
    reach = ndimage.binary_dilation(touched, iterations=2)
    subject = person(pathology)
    for name in MODALITIES:
        np.testing.assert_array_equal(subject.images[name][~reach], subject.twins[name][~reach])


def test_mass_effect_moves_neighbours_without_folding_and_not_the_far_side() -> None:
    _, lesion = sick("glioma")
    assert lesion.mass_effect is not None
    displacement = lesion.mass_effect.displacement
    assert np.sqrt((displacement**2).sum(axis=0)).max() > 1
    assert jacobian_determinant(displacement, lesion.mass_effect.spacing).min() > 0
    subject = person("glioma")
    changed = subject.image != subject.twin
    assert changed[subject.mask].mean() > 0.9
    assert np.count_nonzero(changed & ~ndimage.binary_dilation(subject.mask)) > 0
    assert changed.mean() < 0.2


@pytest.mark.parametrize("pathology", PATHOLOGIES)
@pytest.mark.parametrize("seed", [11, 12])
def test_mask_is_in_the_brain_and_not_all_of_it(pathology: str, seed: int) -> None:
    subject = person(pathology, seed)
    assert subject.mask.any()
    assert not (subject.mask & ~subject.roi).any()
    assert subject.mask.sum() < 0.2 * subject.roi.sum()
    assert not subject.image[~subject.roi].any()
    assert (subject.image[subject.roi] > 0).all()


@pytest.mark.parametrize(("modality", "sign"), [("T1", -1), ("T2", 1), ("FLAIR", 1), ("PD", 1)])
@pytest.mark.parametrize("pathology", STANDARD)
def test_lesions_have_the_sign_of_their_modality(pathology: str, modality: str, sign: int) -> None:
    anatomy, lesion = sick(pathology)
    subject = person(pathology)
    inside = average_blocks(lesion_fraction(lesion, anatomy.fine), OVERSAMPLING) > 0.3
    # Swelling closes sulci: fluid becomes tissue there, whatever the tissue.
    inside &= average_blocks(anatomy.fluid, OVERSAMPLING) < 0.2
    # Necrosis is dark in FLAIR by nature.
    for patch in lesion.patches:
        if patch.kind == "necrosis":
            hole = np.zeros(anatomy.fine.shape, np.float32)
            hole[patch.window] = patch.fraction
            inside &= average_blocks(hole, OVERSAMPLING) < 0.1
    change = (subject.images[modality] - subject.twins[modality])[inside]
    assert np.median(change) * sign > 0


@pytest.mark.parametrize("pathology", PATHOLOGIES)
def test_rims_are_partial_volume(pathology: str) -> None:
    anatomy, lesion = sick(pathology)
    fraction = average_blocks(lesion_fraction(lesion, anatomy.fine), OVERSAMPLING)
    assert fraction.min() >= 0 and fraction.max() <= 1 + 1e-6
    partial = np.count_nonzero((fraction > 0.05) & (fraction < 0.95))
    assert partial > 0.2 * np.count_nonzero(fraction >= 0.95)


@pytest.mark.parametrize(
    ("modality", "order"),
    [
        ("T1", ("fluid", "grey", "white")),
        ("T2", ("white", "grey", "fluid")),
        ("FLAIR", ("fluid", "white", "grey")),
        ("PD", ("white", "grey")),
    ],
)
@pytest.mark.parametrize("site", ["A", "B", "C", "D"])
def test_tissues_have_their_order(modality: str, order: tuple[str, ...], site: str) -> None:
    anatomy, _ = sick("acute stroke")
    image = person(None, 11, site).images[modality]
    means = [image[average_blocks(getattr(anatomy, name), OVERSAMPLING) > 0.8].mean() for name in order]
    assert means == sorted(means)


def test_tissue_fractions_add_up_and_age_opens_the_fluid_spaces() -> None:
    space = output_space(4.0, stream(5, "position"))
    young, old = (draw_anatomy(space, stream(5, "anatomy"), age=age) for age in (22, 82))
    total = young.white + young.grey + young.fluid
    np.testing.assert_allclose(total[total > 0], 1, atol=1e-4)
    assert old.fluid.sum() > 1.1 * young.fluid.sum()


@pytest.mark.parametrize(
    "wrong", [{"pathology": "flu"}, {"modality": "CT"}, {"spacing_mm": 3.0}, {"site": "Z"}, {"modality": ()}]
)
def test_unknown_settings_are_named(wrong: dict[str, object]) -> None:
    with pytest.raises(BadInput, match=r"choose|1, 2 or 4"):
        make_subject(0, **wrong)  # type: ignore[arg-type]
