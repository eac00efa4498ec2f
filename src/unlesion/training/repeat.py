"""The command that repeats a run, and the options that choose its scans."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from unlesion.errors import BadInput
from unlesion.prepare import Recipe, load_recipe


def cohort_options(
    *,
    root: str | Path | None = None,
    where: Sequence[str] | None,
    channels: str | None = None,
    volume: int | None = None,
) -> list[str]:
    """The words that choose scans of a cohort on the command line of any verb, as given there."""
    words = [] if root is None else ["--root", str(root)]
    words += [word for condition in where or () for word in ("--where", condition)]
    if channels is not None:
        words += ["--channels", channels]
    if volume is not None:
        words += ["--volume", str(volume)]
    return words


def repeat_words(
    *,
    method: str,
    preset: str,
    seed: int,
    recipe: str | Path | Recipe | None,
    settings: Mapping[str, Mapping[str, Any]],
    steps: Mapping[str, int] | None,
    device: str,
    image_size: int,
) -> list[str]:
    """The options of the `train` command that repeat a run exactly, without those on the cohort.

    Args:
        method: name of the method.
        preset: name of the preset.
        seed: of the run.
        recipe: as given to `train`; a Recipe is said as its name and what differs from it.
        settings: as given to `train`.
        steps: that were done per stage; None for a method without stages.
        device: that was trained on: another one rounds otherwise.
        image_size: of the preset.
    """
    words = ["--method", method, "--preset", preset, "--seed", str(seed)]
    settings = {room: dict(values) for room, values in settings.items()}
    if isinstance(recipe, Recipe):
        settings["recipe"] = _differences(recipe, image_size)
        recipe = recipe.name
    if recipe is not None:
        words += ["--recipe", str(recipe)]
    for room, values in settings.items():
        for name, value in values.items():
            words += ["--set", f"{room}.{name}={_yaml(value)}"]
    if steps:
        words += ["--steps", ",".join(f"{name}={number}" for name, number in steps.items())]
    return [*words, "--device", device]


def command_line(source: Sequence[str], words: Sequence[str], out: Path) -> str:
    """The whole command, ready for a shell."""
    return shlex.join(["unlesion", "train", *source, *words, "--out", str(out)])


def _differences(recipe: Recipe, image_size: int) -> dict[str, Any]:
    """What must be set on top of the recipe of that name, if there is one, to get this one."""
    try:
        plain = load_recipe(recipe.name, {"size": image_size})
    except BadInput:
        return {}
    base, this = _flat(plain.model_dump(mode="json")), _flat(recipe.model_dump(mode="json"))
    return {name: value for name, value in this.items() if name not in base or base[name] != value}


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            out.update(_flat(value, f"{before}{name}."))
        else:
            out[before + name] = value
    return out


def _yaml(value: Any) -> str:
    """A value as `--set` reads it."""
    plain = list(value) if isinstance(value, tuple) else value
    text = yaml.safe_dump(plain, default_flow_style=True, width=10**6, allow_unicode=True)
    return text.removesuffix("...\n").strip()
