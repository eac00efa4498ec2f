"""What a training learns from, and by which recipe it is prepared."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from unlesion.errors import BadInput
from unlesion.methods.base import InputSpec, Method
from unlesion.modality import condition_name
from unlesion.prepare import PreparedStore, Recipe, choose_recipe, load_recipe
from unlesion.scans import Cohort
from unlesion.scans.mask_labels import marked_but_healthy
from unlesion.wording import count

# Settings of training by which images are changed.
AUGMENTATIONS = ("mirror", "contrast", "recontrast", "balance")
ONLY_ONE = "only one healthy subject; give at least two, one to learn from and one to calibrate on"


def healthy_rows(cohort: Cohort, warn: Callable[[str], None]) -> tuple[Cohort, Cohort]:
    """The scans to learn from, and those to calibrate on.

    Args:
        cohort: with splits.
        warn: told about every scan that is not learnt from because its mask marks a lesion.

    Raises:
        BadInput: nothing to learn from, or only one subject.
    """
    healthy = cohort.select(split="train", label="healthy")
    held_out = cohort.select(split="val", label="healthy")
    if len(cohort.select(label="healthy").subjects) == 1:
        raise BadInput(f"{cohort.name}: {ONLY_ONE}")
    if len(healthy) == 0:
        raise BadInput(
            f"{cohort.name}: no healthy rows in split 'train'; check the columns label and split, and --where"
        )
    healthy = _without_lesions(healthy, warn)
    if len(healthy.subjects) < 2 and len(held_out) == 0:
        raise BadInput(f"{cohort.name}: {ONLY_ONE}")
    return healthy, held_out


def doubts_before_training(
    healthy: Cohort, method: type[Method], config: Any, given: Mapping[str, Any]
) -> list[str]:
    """What somebody should know before a training, a sentence each; none where all is well.

    Args:
        healthy: the scans to learn from.
        method: which learns.
        config: its settings.
        given: settings of training that were named.
    """
    said = [taken_for_healthy(healthy), mixed_modalities(healthy, config)]
    return [words for words in said if words] + without_effect(method, config, given)


def taken_for_healthy(cohort: Cohort) -> str:
    """A sentence where DICOM series are learnt from that nobody has called healthy; "" for others."""
    silent = sum(
        entry.columns.get("format") == "dicom" and not entry.columns.get("label") for entry in cohort
    )
    if not silent:
        return ""
    return (
        f"{cohort.name}: DICOM does not say who is healthy, so {count(silent, 'series', 'series')} are taken for healthy; "
        "sort the others out by --where, or give a manifest with a column label"
    )


def mixed_modalities(healthy: Cohort, config: Any) -> str:
    """A sentence for those who learn several modalities with a network that is not told which; "" for others.

    Args:
        healthy: the scans to learn from.
        config: the method's settings.
    """
    known = sorted({condition_name(entry.modality) for entry in healthy if entry.modality})
    if len(known) < 2 or getattr(config, "condition", False):
        return ""
    told = "--set method.condition=true, or " if hasattr(config, "condition") else ""
    return (
        f"{healthy.name}: one network learns {', '.join(known)} without being told which is which; choose one by --where "
        f"modality={known[0]}, {told}leave it so if that is what you want"
    )


def without_effect(method: type[Method], config: Any, given: Mapping[str, Any]) -> list[str]:
    """Sentences about settings of training that a method which learns no network passes over.

    Args:
        method: which.
        config: its settings.
        given: settings of training that were named.
    """
    idle = sorted(name for name in AUGMENTATIONS if given.get(name))
    if not idle or method(config, InputSpec(size=64)).stages():
        return []
    names = ", ".join(f"training.{name}" for name in idle)
    return [f"{names}: without effect, {method.name} is fitted to the scans as they are"]


def slices_of(store: PreparedStore, rows: Sequence[int]) -> str:
    """16 hex digits that change with the slices that are learnt from, or their order."""
    words = [f"{store.scans[row]['key']} {store.scans[row].get('fingerprint', '')}" for row in rows]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]


def _without_lesions(healthy: Cohort, warn: Callable[[str], None]) -> Cohort:
    """The scans that are healthy by their masks too: lesions of the others would be learnt as healthy."""
    marked = {entry.key for entry in healthy if entry.is_marked()}
    for key in sorted(marked):
        warn(f"left out: {marked_but_healthy(key)}")
    if len(marked) == len(healthy):
        raise BadInput(
            f"{healthy.name}: every scan to learn from is labelled healthy but has a mask that marks a lesion; "
            "correct the labels or the masks"
        )
    return replace(healthy, entries=tuple(entry for entry in healthy if entry.key not in marked))


def recipe_for(
    wanted: str | Path | Recipe | None,
    cohort: Cohort,
    image_size: int,
    over: Mapping[str, Any],
    store: PreparedStore | None,
    tell: Callable[[str], None],
    warn: Callable[[str], None],
) -> Recipe:
    """The recipe that was asked for, that of the store, or the one that suits the cohort.

    Args:
        wanted: a name, a file or a Recipe; None leaves the choice open.
        cohort: the scans to learn from.
        image_size: of the preset, in pixels; the recipe's unless its file or `over` says otherwise.
        over: settings of the recipe.
        store: the scans, already prepared.
        tell: told what is chosen.
        warn: told where the store is smaller than what the preset is made for.

    Raises:
        BadInput: no such recipe or setting, no recipe suits, or the store was made by another.
    """
    if store is not None and wanted is None and not over:
        size = store.recipe.size
        if size != image_size:
            # Larger is what somebody asked for; smaller is easily overlooked, and shows less.
            (warn if size < image_size else tell)(
                f"the store was prepared at {size} pixels and the preset is made for {image_size}: training at {size}; "
                f"for {image_size}, prepare another store with --set recipe.size={image_size}"
            )
        return store.recipe
    if isinstance(wanted, Recipe):
        recipe = wanted
    else:
        if wanted is None:
            name = choose_recipe(cohort).name
            tell(f"recipe {name!r}, chosen from what the cohort holds; another: --recipe")
            wanted = name
        recipe = load_recipe(wanted, over, preset_size=image_size)
    if store is not None and store.recipe.digest != recipe.digest:
        raise BadInput(
            f"the store was prepared with recipe {store.recipe.name!r} ({store.recipe.digest}), not with "
            f"{recipe.name!r} ({recipe.digest}); prepare again or leave --recipe out"
        )
    return recipe
