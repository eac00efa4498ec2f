"""Which scans a run has met, and what that means for numbers measured on others or on the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from unlesion.modality import condition_name, foreign
from unlesion.scans import Cohort, Entry
from unlesion.scans.prints import prints_of

# So many names are enough to see what is meant.
NAMED = 5


def doubts_about(
    chosen: Cohort,
    *,
    record: Mapping[str, Any],
    learnt: Sequence[str] = (),
    calibrated: Sequence[str] = (),
    opened: Cohort | None = None,
) -> list[str]:
    """What speaks against taking an evaluation at its word, a sentence each.

    Args:
        chosen: the scans to evaluate on.
        record: of the run; older ones do not say which scans they have met.
        learnt: modalities that the run learnt from, by `condition_name`; empty where nobody said.
        calibrated: those that calibrated it; likewise.
        opened: the cohort before a split was chosen: if the run learnt from it, its splits tell, too.
    """
    by_training = _splits(record, opened)
    prints = prints_of(chosen)
    out = []

    def among(name: str, split: str) -> int:
        known = recorded_prints(record, name)
        return sum(
            prints.get(entry.key) in known
            or (entry.label == "healthy" and by_training.get(entry.key) == split)
            for entry in chosen
        )

    if again := among("learnt", "train"):
        out.append(
            f"{again} of {len(chosen)} scans are among those that the run learnt from: what it has learnt looks more "
            "usual to it than new scans do; leave them out (--split test)."
        )
    if again := among("calibrated", "" if "calibrated_on" in record else "val"):
        out.append(
            f"{again} of {len(chosen)} scans are among those that calibrated the run: its thresholds and p-values were "
            "made from them; leave them out (--split test)."
        )
    modalities = [condition_name(entry.modality) for entry in chosen]
    unseen = foreign(modalities, learnt)
    unlike = foreign([name for name in modalities if name not in unseen], calibrated)
    sources = (record.get("met") or {}).get("sources") or ()
    elsewhere = [name for name in _sources(chosen) if sources and name not in sources]
    for what, names, known in (
        ("of a modality that the run never saw", unseen, learnt),
        ("of a modality that did not calibrate the run", unlike, calibrated),
        ("from a source that the run never saw", elsewhere, sources),
    ):
        if names:
            out.append(
                f"{len(names)} of {len(chosen)} scans are {what}: {_names(names)} (the run knows {_names(known)})."
            )
    return out


def met_by(learnt: Iterable[Entry], calibrated: Iterable[Entry]) -> dict[str, Any]:
    """What a run records of the scans that it met, so that it recognises them; as plain JSON."""
    learnt = list(learnt)
    return {
        "learnt": as_recorded(prints_of(learnt)),
        "calibrated": as_recorded(prints_of(calibrated)),
        "sources": sorted(set(_sources(learnt))),
    }


def as_recorded(prints: Mapping[str, str]) -> str:
    """Prints, by key, as a run records them: without keys, so that nobody is named."""
    return " ".join(sorted(prints.values()))


def recorded_prints(record: Mapping[str, Any], what: str) -> frozenset[str]:
    """The prints in a run's record of the scans that it "learnt" from, or that "calibrated" it.

    Empty for older runs, and for runs on older prepared stores, whose scans have none.
    """
    return frozenset(str((record.get("met") or {}).get(what, "")).split())


def _splits(record: Mapping[str, Any], opened: Cohort | None) -> dict[str, str | None]:
    """The split in training of every scan of a cohort that the run learnt from."""
    if opened is None or not opened.is_of(record.get("cohort")):
        return {}
    return {entry.key: entry.split for entry in opened.with_splits()}


def _sources(entries: Iterable[Entry]) -> list[str]:
    found = (entry.columns.get("source", "").strip() for entry in entries)
    return [name for name in found if name]


def _names(names: Iterable[str]) -> str:
    known = sorted(set(names))
    more = f" and {len(known) - NAMED} more" if len(known) > NAMED else ""
    return ", ".join(known[:NAMED]) + more
