"""One recipe for several modalities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.prepare.scenes import brain_picture, flat_scan, head_parts, smooth_picture, volume_scan
from unlesion.errors import BadInput
from unlesion.prepare import Prepared, choose_recipe, load_recipe
from unlesion.prepare.choose import XRAY
from unlesion.scans import Cohort


def chest() -> np.ndarray:
    """A picture with black borders, wider than high."""
    image = np.zeros((160, 200))
    image[10:150, 20:180] = 255 * smooth_picture(160)[:140]
    return image


def assert_same(first: Prepared, second: Prepared) -> None:
    for name in ("images", "roi", "positions"):
        assert np.array_equal(getattr(first, name), getattr(second, name)), name
    assert np.array_equal(first.placement.matrix, second.placement.matrix)
    assert (first.spacing, first.intensity) == (second.spacing, second.intensity)
    assert first.warnings == second.warnings


@pytest.mark.parametrize("size", [48, 64])
@pytest.mark.parametrize(
    ("image", "modality", "alone"),
    [
        (brain_picture(), "T1", "slices"),
        (head_parts()[0], "FLAIR", "slices"),
        (head_parts()[0], "", "slices"),
        (chest(), "CXR", "xray"),
        (chest(), "dx", "xray"),
    ],
)
def test_universal_prepares_as_the_recipe_of_the_kind(
    image: np.ndarray, modality: str, alone: str, size: int
) -> None:
    scan = flat_scan(image, modality=(modality,))
    universal = load_recipe("universal", {"size": size})
    assert_same(universal.prepare(scan), load_recipe(alone, {"size": size}).prepare(scan))
    assert universal.for_modality((modality,)).digest == load_recipe(alone, {"size": size}).digest
    # The other kind's recipe makes something else of it.
    other = load_recipe("xray" if alone == "slices" else "slices", {"size": size}).prepare(scan)
    assert not np.array_equal(other.images, universal.prepare(scan).images)


def test_universal_on_real_images(real_data: Path) -> None:
    universal = load_recipe("universal", {"size": 64})
    for source, alone in (("lgg_flair", "slices"), ("oasis_t1_2d", "slices"), ("cxr_nih", "xray")):
        cohort = Cohort.open(real_data / "manifest.csv", where=[f"source={source}"])
        assert choose_recipe(cohort).name == alone
        for entry in cohort.entries[:2]:
            scan = entry.read()
            assert_same(universal.prepare(scan), load_recipe(alone, {"size": 64}).prepare(scan))


def test_every_name_of_an_x_ray_has_its_part() -> None:
    assert {name.upper() for name in load_recipe("universal").by_modality} == XRAY


def test_steps_that_a_part_leaves_out_are_the_recipes(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "name: mine\nkind: picture\nassumed_width_mm: 200\nroi: {how: whole}\n"
        "by_modality:\n  T2: {normalise: {how: none}}\n"
    )
    recipe = load_recipe(path)
    plain = recipe.for_modality(("t2",))
    assert (plain.normalise.how, plain.roi.how, plain.assumed_width_mm) == ("none", "whole", 200.0)
    assert recipe.for_modality(("T1",)).normalise.how == "median"
    path.write_text(recipe.to_yaml())
    assert load_recipe(path) == recipe and load_recipe(path).digest == recipe.digest


def test_the_digest_covers_every_part() -> None:
    plain = load_recipe("universal")
    changes: list[dict[str, Any]] = [
        {"by_modality.CXR.normalise.high": 99.5},
        {"by_modality.DX.normalise.high": 99.5},
        {"by_modality.CT.roi.how": "head"},
        {"by_modality.CXR.assumed_width_mm": 351.0},
        {"by_modality": {}},
    ]
    digests = {load_recipe("universal", change).digest for change in changes}
    assert len(digests | {plain.digest}) == len(changes) + 1
    # Parts that share their settings in the file do not share a change.
    changed = load_recipe("universal", changes[0])
    assert changed.by_modality["CXR"].normalise != changed.by_modality["DX"].normalise
    assert changed.by_modality["DX"] == plain.by_modality["DX"]
    # Without parts it is `slices` by another name.
    assert load_recipe("universal", {"by_modality": {}}).digest == load_recipe("slices").digest


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"by_modality.CXR.size": 32}, "unknown setting 'by_modality.CXR.size'; there are: roi.how"),
        ({"by_modality.CXR.normalise.hihg": 99}, "did you mean 'by_modality.CXR.normalise.high'"),
        ({"by_modality": {"CXR": {"kind": "volume"}}}, "unknown setting 'by_modality.CXR.kind'"),
        ({"by_modality.cxr.crop.margin": 0.1}, "one modality"),
        ({"by_modality.CXR.roi.how": "nose"}, "by_modality.CXR.roi.how"),
        ({"by_modality": "CXR"}, "by_modality"),
    ],
)
def test_wrong_parts(overrides: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput) as error:
        load_recipe("universal", overrides)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_scans_that_it_cannot_prepare() -> None:
    universal = load_recipe("universal")
    both = np.stack([chest(), chest()])
    with pytest.raises(BadInput, match="T1, CXR have different steps"):
        universal.prepare(flat_scan(both, modality=("T1", "CXR")))
    assert universal.prepare(flat_scan(both, modality=("CR", "DX"))).images.shape[1] == 2
    with pytest.raises(BadInput, match="'universal' is for pictures"):
        universal.prepare(volume_scan(np.zeros((20, 20, 20))))
