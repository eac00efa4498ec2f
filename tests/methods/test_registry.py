"""Names, presets and cards."""

from __future__ import annotations

import re

import pytest

from tests.methods import toy
from unlesion.errors import BadInput
from unlesion.methods.registry import (
    PRESETS,
    card_path,
    describe,
    get_method,
    method_names,
    preset_settings,
    read_card,
)

OURS = [name for name in method_names() if name != toy.Toy.name]


def test_the_six_are_there() -> None:
    assert {"intensity", "atlas", "ae", "vae", "cevae", "dae"} <= set(method_names())


@pytest.mark.parametrize("name", OURS)
def test_every_method_has_a_card_that_agrees_with_its_class(name: str) -> None:
    card = read_card(name)
    assert card_path(name).is_file()
    assert card.startswith(f"# {name}")
    for heading in ("## Idea", "## Equations", "## Presets", "## Published numbers", "## Deviations"):
        assert heading in card, heading
    assert "research use" in card.lower() and "not a medical device" in card.lower()
    # Every deviation the class declares stands in the card, word for word.
    plain = re.sub(r"\s+", " ", card)
    for deviation in get_method(name).deviations:
        assert deviation in plain
    for facts in describe(name)["presets"].values():
        assert f"{facts['parameters']:,}" in card


def test_a_method_without_a_card_gets_one_of_its_facts() -> None:
    assert not card_path(toy.Toy.name).exists()
    assert toy.Toy.title in read_card(toy.Toy.name)


@pytest.mark.parametrize("name", OURS)
def test_presets_are_valid_settings(name: str) -> None:
    method = get_method(name)
    assert tuple(method.presets) == PRESETS
    assert method.name == name
    for preset in PRESETS:
        settings = preset_settings(method, preset)
        assert settings["batch"] >= 1
        method.config_for(preset)


def test_unknown_names_are_refused_with_a_hint() -> None:
    with pytest.raises(BadInput, match="did you mean 'dae'"):
        get_method("dea")
    with pytest.raises(BadInput, match="no preset"):
        preset_settings(get_method("dae"), "huge")
    with pytest.raises(ValueError, match="nonsense"):
        get_method("dae").config_for("cpu", {"nonsense": 1})
