"""All methods by name."""

from __future__ import annotations

import difflib
import importlib
import inspect
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import torch

from unlesion.errors import BadInput
from unlesion.methods.base import InputSpec, Method, count_parameters

# Modules are imported when asked for: listing the names costs nothing.
_HOMES = {
    "intensity": "unlesion.methods.baseline.intensity:Intensity",
    "atlas": "unlesion.methods.baseline.atlas:Atlas",
    "ae": "unlesion.methods.autoencoder.ae:AutoEncoder",
    "vae": "unlesion.methods.variational.vae:VariationalAutoEncoder",
    "cevae": "unlesion.methods.variational.cevae:ContextEncodingVAE",
    "dae": "unlesion.methods.denoising.dae:DenoisingAutoEncoder",
    "disyre": "unlesion.methods.denoising.disyre:Disyre",
    "si-vae": "unlesion.methods.adversarial.si_vae:SoftIntroVAE",
    "ra": "unlesion.methods.adversarial.ra:ReversedAutoEncoder",
    "phanes": "unlesion.methods.adversarial.phanes:Phanes",
    "arepas": "unlesion.methods.anatomy.arepas:Arepas",
    "f-anogan": "unlesion.methods.adversarial.f_anogan:FastAnoGAN",
    "mem-ae": "unlesion.methods.autoencoder.mem_ae:MemoryAutoEncoder",
    "vq-vae": "unlesion.methods.autoregressive.vq_vae:VQVAE",
    "dal": "unlesion.methods.anatomy.dal:DisentangledAnatomy",
    "ddpm": "unlesion.methods.diffusion.ddpm:DDPM",
    "anoddpm": "unlesion.methods.diffusion.anoddpm:AnoDDPM",
    "cddpm": "unlesion.methods.diffusion.cddpm:ConditionedDDPM",
    "contrastive-ddpm": "unlesion.methods.diffusion.contrastive_ddpm:ContrastiveDDPM",
    "pddpm": "unlesion.methods.diffusion.pddpm:PDDPM",
    "mddpm": "unlesion.methods.diffusion.mddpm:MDDPM",
    "andi": "unlesion.methods.diffusion.andi:ANDi",
}

# Where installed packages name methods of their own: entry points, name and "module:Class".
GROUP = "unlesion.methods"

# Images of a step where a preset names none.
BATCH = 16

PRESETS = ("tiny", "cpu", "gpu", "paper")


@cache
def _others() -> dict[str, str]:
    """Methods of other installed packages; a name of ours stays ours."""
    return {found.name: found.value for found in entry_points(group=GROUP) if found.name not in _HOMES}


def method_names() -> list[str]:
    """Names of all methods, those of other installed packages last."""
    return [*_HOMES, *(name for name in _others() if name not in _HOMES)]


def is_ours(name: str) -> bool:
    """Whether a method is of this package, or was registered in this process."""
    return name in _HOMES


def register(name: str, home: str) -> None:
    """Add a method for this process; `home` is "module:Class". A package that shall serve the command line names it as an entry point."""
    _HOMES[name] = home


def get_method(name: str) -> type[Method]:
    """The class of a method.

    Raises:
        BadInput: there is no such method.
    """
    home = _HOMES.get(name) or _others().get(name)
    if home is None:
        close = difflib.get_close_matches(name, method_names(), n=1)
        hint = f"did you mean {close[0]!r}?" if close else "see `unlesion methods`"
        raise BadInput(f"unknown method {name!r}; {hint}")
    module, _, attribute = home.partition(":")
    if name in _HOMES:
        found: type[Method] = getattr(importlib.import_module(module), attribute)
        return found
    try:
        theirs = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # Whatever somebody else's module does on import.
        words = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise BadInput(
            f"method {name!r} of another package cannot be loaded from {home} ({words})"
        ) from error
    if not (inspect.isclass(theirs) and issubclass(theirs, Method)):
        raise BadInput(f"method {name!r} of another package: {home} is no subclass of unlesion's Method")
    if getattr(theirs, "name", None) != name:
        # A run is saved under the class's name and loaded by it: another class would come back.
        raise BadInput(
            f"method {name!r} of another package: {home} calls itself {getattr(theirs, 'name', None)!r}; give entry point and "
            "class one name"
        )
    return theirs


def preset_settings(method: type[Method], preset: str) -> dict[str, Any]:
    """A preset's settings, image_size and batch included.

    Raises:
        BadInput: the method has no such preset.
    """
    if preset not in method.presets:
        raise BadInput(f"method {method.name!r} has no preset {preset!r}; it has {', '.join(method.presets)}")
    return dict(method.presets[preset])


def card_path(name: str) -> Path:
    """Where a method's card is: `<name>.md` beside its module; it may not exist for others' methods.

    Raises:
        BadInput: there is no such method.
    """
    return Path(inspect.getfile(get_method(name))).with_name(f"{name}.md")


def read_card(name: str) -> str:
    """A method's card, in Markdown; what the class says of itself where it came without one.

    Raises:
        BadInput: there is no such method.
    """
    path = card_path(name)
    if path.is_file():
        return path.read_text(encoding="utf-8")
    method = get_method(name)
    deviations = "\n".join(f"- {line}" for line in method.deviations) or "- none stated"
    return (
        f"# {name}: {method.title}\n\n{method.citation}\n\n## Deviations from the paper\n\n{deviations}\n\n"
        "Research use only; not a medical device.\n"
    )


def describe(name: str) -> dict[str, Any]:
    """Name, family, citation and sizes per preset, counted on networks built without memory."""
    method = get_method(name)
    presets = {}
    for preset in method.presets:
        size = int(method.presets[preset]["image_size"])
        with torch.device("meta"):
            network = method(method.config_for(preset), InputSpec(size=size)).build()
        presets[preset] = {
            "parameters": count_parameters(network),
            "parts": {part: count_parameters(child) for part, child in network.named_children()},
            "image_size": size,
            "batch": int(method.presets[preset].get("batch", BATCH)),
        }
    return {
        "name": method.name,
        "family": method.family,
        "title": method.title,
        "citation": method.citation,
        "presets": presets,
        "deviations": list(method.deviations),
    }
