"""`--set room.name=value`: from the command line to validated settings."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from unlesion.errors import BadInput

Model = TypeVar("Model", bound=BaseModel)

ROOMS = ("method", "recipe", "scoring", "training")


def parse_settings(pairs: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Read `--set` pairs such as "method.beta=2" into one mapping per room.

    Values are YAML, so numbers, true/false, null and lists look as usual; deeper names keep their
    dots ("recipe.normalise.high" becomes {"recipe": {"normalise.high": …}}).

    Raises:
        BadInput: no `=`, no room, or an unknown room.
    """
    settings: dict[str, dict[str, Any]] = {room: {} for room in ROOMS}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        room, dot, rest = name.strip().partition(".")
        if not equals or not dot or not rest:
            raise BadInput(f"--set {pair}: write it as ROOM.NAME=VALUE, such as method.beta=2")
        if room not in settings:
            raise BadInput(f"--set {pair}: no settings called {room!r}; there are {', '.join(ROOMS)}")
        try:
            settings[room][rest] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            said = " ".join(str(error).split())
            raise BadInput(f"--set {pair}: the value is not readable as YAML ({said})") from error
    return settings


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """{"post.median_mm": 3} -> {"post": {"median_mm": 3}}.

    Raises:
        BadInput: a name is given a value and, at once, settings below it.
    """
    out: dict[str, Any] = {}
    for name, value in flat.items():
        *folders, last = name.split(".")
        place = out
        for folder in folders:
            place = place.setdefault(folder, {})
            if not isinstance(place, dict):
                raise _both(name, folder)
        if isinstance(place.get(last), dict):
            if not isinstance(value, Mapping):
                raise _both(name, last)
            value = merged(place[last], value)
        # A copy: later names may add to it, and the value is the caller's.
        place[last] = dict(value) if isinstance(value, Mapping) else value
    return out


def _both(name: str, part: str) -> BadInput:
    return BadInput(f"--set …{name}: {part!r} is given both a value and settings below it; give one of them")


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`, mappings inside mappings too."""
    out = dict(base)
    for name, value in over.items():
        both = isinstance(value, Mapping) and isinstance(out.get(name), Mapping)
        out[name] = merged(out[name], value) if both else value
    return out


def validated(model: type[Model], values: Mapping[str, Any], *, what: str) -> Model:
    """Make settings, with pydantic's complaints in one line.

    Args:
        model: the class of the settings.
        values: names and values.
        what: what they are settings of, such as "method" (shown as `method.name`).

    Raises:
        BadInput: an unknown name (with the nearest known one) or a value out of range.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = setting_names(model)
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean {what}.{close[0]}?" if close else f"there are {', '.join(sorted(known))}"
            raise BadInput(f"unknown setting {what}.{name}; {hint}") from error
        raise BadInput(_complaint(what, name, first)) from error


def _complaint(what: str, name: str, found: ErrorDetails) -> str:
    """Pydantic's complaint about a value, or about values that do not go together, in our words."""
    message = found["msg"].removeprefix("Value error, ")
    if found["type"] in ("tuple_type", "list_type"):
        message = "give a list, such as [1, 2]"
    message = message[:1].lower() + message[1:]
    return (
        f"setting {what}.{name}={found['input']!r}: {message}" if name else f"settings of {what}: {message}"
    )


def setting_names(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Dotted names of every setting of a model, those of models inside it too."""
    names = []
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            names += setting_names(inner, f"{prefix}{name}.")
        else:
            names.append(prefix + name)
    return names
