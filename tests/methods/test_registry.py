"""Names, presets and cards."""

from __future__ import annotations

import re
from importlib.metadata import EntryPoint
from typing import Any

import pytest
import yaml

from tests.methods import toy
from unlesion.errors import BadInput
from unlesion.methods import registry
from unlesion.methods.registry import (
    GROUP,
    PRESETS,
    card_path,
    describe,
    get_method,
    method_names,
    preset_settings,
    read_card,
)

OURS = [name for name in method_names() if name != toy.Toy.name]


class Theirs(toy.Toy):
    """A method of another package."""

    name = "theirs"


def test_methods_of_other_packages_come_by_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name of ours stays ours, and what cannot be loaded says whose fault it is."""
    points = [
        EntryPoint(name, home, GROUP)
        for name, home in {
            "theirs": f"{__name__}:Theirs",
            "dae": "tests.methods.toy:Toy",
            "gone": "no_such_package:Method",
            "odd": "tests.methods.toy:ToyConfig",
            "other": f"{__name__}:Theirs",
        }.items()
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: points if group == GROUP else [])
    registry._others.cache_clear()
    try:
        assert method_names()[-4:] == ["theirs", "gone", "odd", "other"]
        assert get_method("theirs") is Theirs and get_method("dae") is not toy.Toy
        assert describe("theirs")["presets"]["tiny"]["batch"] > 0
        for name, words in {
            "gone": "cannot be loaded from no_such_package",
            "odd": "no subclass",
            "other": "itself 'theirs'",
        }.items():
            with pytest.raises(BadInput, match=words):
                get_method(name)
        with pytest.raises(BadInput, match="did you mean 'theirs'"):
            get_method("their")
    finally:
        registry._others.cache_clear()


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


@pytest.mark.parametrize("name", OURS)
def test_the_table_of_presets_is_what_the_presets_are(name: str) -> None:
    method, facts = get_method(name), describe(name)["presets"]
    section = read_card(name).split("## Presets")[1].split("\n## ")[0]
    head, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if re.match(r"\| (preset|tiny|cpu|gpu|paper) \|", line)
    ]
    assert [row[0] for row in rows] == list(PRESETS)
    for preset, *cells in rows:
        said = dict(zip(head[1:], cells, strict=True))
        fixed = preset_settings(method, preset)
        assert said["pixels a side"] == str(fixed["image_size"])
        assert said["batch"] == str(fixed["batch"])
        assert said["parameters"] == f"{facts[preset]['parameters']:,}"
        config = method.config_for(preset)
        # Long series are shortened: "30, 35 … 125".
        words = re.split(r", |; |: ", re.sub(r"\w+ \d+(, \d+)* … \d+", "", cells[-1]))
        for setting, value in (pair.split(" ") for pair in words if pair.count(" ") == 1):
            if setting in method.Config.model_fields:
                assert written(value) == plain(getattr(config, setting)), (preset, setting)
        # A card may refer to another method's presets; else every setting is there, if in other words.
        if not re.search(r"`ddpm`'s|`cddpm`'s|\[ra\]", section):
            for setting in method.presets[preset].keys() - {"image_size", "batch"}:
                default = method.Config.model_fields[setting].get_default(call_default_factory=True)
                assert setting.split("_")[0] in cells[-1] or plain(getattr(config, setting)) == plain(default)


def written(value: str) -> Any:
    """A setting as a card has it: 8-16 are several numbers."""
    several = re.fullmatch(r"\d+(-\d+)+", value)
    return [int(part) for part in value.split("-")] if several else yaml.safe_load(value.lower())


def plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


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
    with pytest.raises(BadInput, match="did you mean 'f-anogan'"):
        get_method("f-anogn")
    with pytest.raises(BadInput, match="no preset"):
        preset_settings(get_method("dae"), "huge")
    with pytest.raises(ValueError, match="nonsense"):
        get_method("dae").config_for("cpu", {"nonsense": 1})
