from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unlesion.errors import BadInput
from unlesion.prepare import Recipe, builtin_recipes, load_recipe
from unlesion.settings import setting_names


def test_builtin_recipes_load_and_differ() -> None:
    assert builtin_recipes() == ("brain-mri", "slices", "universal", "xray")
    assert len({load_recipe(name).digest for name in builtin_recipes()}) == 4


def test_digests_that_recorded_results_are_known_by_stay() -> None:
    digests = {name: load_recipe(name, {"size": 64}).digest for name in ("brain-mri", "slices", "xray")}
    assert digests == {
        "brain-mri": "08ffe546d82b491d",
        "slices": "89a89e06a742f2b1",
        "xray": "e1854d710d4684f2",
    }


def test_yaml_round_trip(tmp_path: Path) -> None:
    recipe = load_recipe("slices", {"size": 96, "roi.erode_mm": 3.5})
    path = tmp_path / "mine.yaml"
    path.write_text(recipe.to_yaml())
    again = load_recipe(path)
    assert again == recipe and again.digest == recipe.digest
    assert len(recipe.digest) == 16


def test_digest_sees_every_setting_but_the_name() -> None:
    base = {"normalise.how": "percentiles"}
    plain = load_recipe("slices", base)
    assert load_recipe("slices", {**base, "name": "mine"}).digest == plain.digest
    others = {
        "size": 72, "kind": "volume", "assumed_width_mm": 99.0, "roi.how": "head", "roi.erode_mm": 1.0,
        "align.how": "none", "crop.field_mm": 99.0, "crop.margin": 0.5, "slices.step_mm": 9.0, "bias.how": "n4", "slices.lowest": 0.1,
        "slices.highest": 0.9, "normalise.how": "median", "normalise.low": 5.0, "normalise.high": 95.0,
        "normalise.median_at": 0.4, "by_modality": {"CXR": {"roi": {"how": "body"}}},
    }  # fmt: skip
    assert set(others) | {"name"} == set(setting_names(Recipe))
    digests = {load_recipe("slices", {**base, name: value}).digest for name, value in others.items()}
    assert len(digests | {plain.digest}) == len(others) + 1


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"normalise.hihg": 99}, "normalise.high"),
        ({"sise": 64}, "size"),
        ({"erode_mm": 3}, "roi.erode_mm"),
        ({"roi": "head"}, "roi"),
        ({"size": "many"}, "size"),
        ({"size": 2}, "size"),
        ({"roi.how": "kidney"}, "roi.how"),
        ({"normalise.low": 99.5}, "below"),
        ({"normalise.high": 99.5}, "normalise.how=percentiles"),
    ],
)
def test_wrong_settings(overrides: dict, words: str) -> None:
    with pytest.raises(BadInput, match=words) as error:
        load_recipe("slices", overrides)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text", ["a: [", "just words", "name: x\nkind: picture\nsurprise: 1\n", "name: x\n", ""]
)
def test_files_that_are_no_recipes(tmp_path: Path, text: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(BadInput, match=r"r\.yaml") as error:
        load_recipe(path)
    assert "\n" not in str(error.value)


def test_unknown_recipe_names_the_known() -> None:
    with pytest.raises(BadInput, match="brain-mri, slices, universal, xray"):
        load_recipe("brain")


def test_binary_garbage_is_no_recipe(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(np.random.default_rng(0).bytes(300))
    with pytest.raises(BadInput):
        load_recipe(path)


def test_recipes_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_recipe("slices").size = 3  # type: ignore[misc]
    assert isinstance(load_recipe("slices"), Recipe)


def test_a_size_that_a_file_names_is_kept(tmp_path: Path) -> None:
    """A preset's size used to overrule it in silence."""
    mine = tmp_path / "mine.yaml"
    mine.write_text("name: mine\nkind: picture\nsize: 48\n")
    assert load_recipe(mine, preset_size=32).size == 48
    assert load_recipe(mine, {"size": 16}, preset_size=32).size == 16
    mine.write_text("name: mine\nkind: picture\n")
    assert load_recipe(mine, preset_size=32).size == 32
    assert load_recipe("slices", preset_size=32).size == 32
