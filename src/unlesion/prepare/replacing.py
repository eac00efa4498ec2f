"""A prepared store is not lost to another recipe or other scans by a slip of the hand."""

from __future__ import annotations

from pathlib import Path

from unlesion.errors import BadInput
from unlesion.prepare.item import fingerprint
from unlesion.prepare.recipe import Recipe
from unlesion.prepare.store import DATA, INDEX, PreparedStore
from unlesion.scans.cohort import Cohort


def refuse_other_store(out: Path, cohort: Cohort, recipe: Recipe) -> None:
    """Refuse to replace a store that preparing would not go on with.

    Preparing goes on with a store of the same recipe whose scans are all in the cohort, at least one of them
    unchanged; the cohort may have grown.

    Args:
        out: where the store is to be.
        cohort: the scans to prepare.
        recipe: how to prepare them.

    Raises:
        BadInput: a store of another recipe or of other scans is there, or a folder of other things.
    """
    if not (out / INDEX).is_file():
        others = (
            sorted(path.name for path in out.iterdir() if not _may_be_ours(path.name)) if out.is_dir() else []
        )
        if others:
            raise BadInput(
                f"{out}: holds other files ({', '.join(others[:3])}); choose a folder of its own for the store"
            )
        return
    try:
        store = PreparedStore.open(out)
    except BadInput:
        # Damaged, or of another version: nothing can use it any more.
        return
    advice = "choose another --out, or replace it with --overwrite"
    if store.recipe.digest != recipe.digest:
        raise BadInput(
            f"{out}: holds a store prepared with recipe {store.recipe.name!r} ({store.recipe.digest}), not with "
            f"{recipe.name!r} ({recipe.digest}); {advice}"
        )
    keys = {entry.key for entry in cohort}
    lost = [row["key"] for row in store.scans if row["key"] not in keys]
    if lost:
        raise BadInput(
            f"{out}: holds a store of {store.name} with {len(store.scans)} scans, {len(lost)} of which are not in "
            f"{cohort.name} (such as {lost[0]}); {advice}"
        )
    known = {row["fingerprint"] for row in store.scans}
    if known.isdisjoint(fingerprint(entry, recipe) for entry in cohort):
        raise BadInput(
            f"{out}: holds a store of {store.name}, in which the files of every scan are others than in "
            f"{cohort.name}; {advice}"
        )


def _may_be_ours(name: str) -> bool:
    """Whether preparing may have left it: what waits, arrays without an index yet, the log."""
    return name.startswith(".") or DATA.fullmatch(name) is not None or name == "unlesion.log"
