"""Loading recipes: the built-in ones by name, anybody's by file, with single settings overridden."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from unlesion.errors import BadInput
from unlesion.prepare.by_modality import RecipePart
from unlesion.prepare.recipe import Recipe
from unlesion.settings import setting_names


def builtin_recipes() -> tuple[str, ...]:
    """Names of the recipes that come with the package."""
    folder = resources.files("unlesion.prepare") / "recipes"
    return tuple(sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml")))


def load_recipe(
    name_or_path: str | Path, overrides: Mapping[str, Any] | None = None, *, preset_size: int | None = None
) -> Recipe:
    """Load a recipe.

    Args:
        name_or_path: a built-in name ("brain-mri", "slices", "universal", "xray") or a YAML file.
        overrides: settings by dotted name, such as {"size": 128, "normalise.high": 99.5}; those of one
            modality as "by_modality.CXR.normalise.high".
        preset_size: pixels per side, for built-in recipes and for files that name no `size`.

    Raises:
        BadInput: no such recipe, an unknown setting, or a value that does not fit.
    """
    text, source = _read(name_or_path)
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadInput(f"{source}: not readable as YAML ({_one_line(error)})") from error
    if not isinstance(content, dict):
        raise BadInput(f"{source}: not a recipe; it should hold settings such as 'name: my-recipe'")
    if preset_size is not None and (str(name_or_path) in builtin_recipes() or "size" not in content):
        content["size"] = preset_size
    for setting, value in (overrides or {}).items():
        _override(content, setting, value)
    return recipe_from(content, source=source)


def recipe_from(content: Mapping[str, Any], *, source: str) -> Recipe:
    """A recipe from plain settings; `source` names them in errors.

    Raises:
        BadInput: an unknown setting, or a value that does not fit.
    """
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        setting = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise _unknown(setting, source) from error
        raise BadInput(f"{source}: setting {setting!r}: {first['msg']}") from error


def _override(content: dict[str, Any], setting: str, value: Any) -> None:
    if _below_modality(setting) not in _names(setting):
        raise _unknown(setting, "recipe")
    *steps, last = setting.split(".")
    place = content
    for step in steps:
        inner = place.get(step)
        place[step] = dict(inner) if isinstance(inner, dict) else {}
        place = place[step]
    place[last] = value


def _below_modality(setting: str) -> str:
    """A setting of one modality without its modality: "by_modality.CXR.roi.how" -> "roi.how"."""
    first, *rest = setting.split(".", 2)
    return rest[1] if first == "by_modality" and len(rest) == 2 else setting


def _names(setting: str) -> list[str]:
    """Dotted names of the settings that there are where this one stands."""
    names = setting_names(Recipe)
    if _below_modality(setting) == setting:
        return names
    return [name for name in names if name.partition(".")[0] in RecipePart.model_fields]


def _unknown(setting: str, source: str) -> BadInput:
    names, wanted = _names(setting), _below_modality(setting)
    close = difflib.get_close_matches(wanted, names, n=1, cutoff=0.4)
    if not close:
        # A bare name may belong into a step: "high" means "normalise.high".
        close = [name for name in names if name.rsplit(".", 1)[-1] == wanted.rsplit(".", 1)[-1]]
    before = setting.removesuffix(wanted)
    advice = f"did you mean {before + close[0]!r}?" if close else f"there are: {', '.join(names)}"
    return BadInput(f"{source}: unknown setting {setting!r}; {advice}")


def _read(name_or_path: str | Path) -> tuple[str, str]:
    name = str(name_or_path)
    builtin = builtin_recipes()
    if name in builtin:
        file = resources.files("unlesion.prepare") / "recipes" / f"{name}.yaml"
        return file.read_text(encoding="utf-8"), f"recipe {name!r}"
    path = Path(name_or_path)
    try:
        return path.read_text(encoding="utf-8"), str(path)
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"{name}: no such recipe, and not readable as a file; there are {', '.join(builtin)}"
        ) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
