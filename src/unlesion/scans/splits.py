"""Who learns, who calibrates, who tests: never the same subject twice."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from unlesion.errors import BadInput
from unlesion.scans.entry import Entry

VALIDATION_SHARE = 0.2
TEST_SHARE = 0.2


def split_by_subject(subjects: Sequence[str], *, test: bool = False) -> dict[str, str]:
    """Assign each subject to "train" (80 %) or "val" (20 %) by a hash of its name; with `test`, 20 % to "test" too.

    The same name always lands in the same split, whoever else is in the cohort; only where one of them
    would be empty, the subject nearest to the limit changes side. Those of "test" are of "train" without it.
    """
    places = {subject: _place(subject) for subject in set(subjects)}
    splits = {subject: "val" if place < VALIDATION_SHARE else "train" for subject, place in places.items()}
    if len(splits) > 1 and len(set(splits.values())) == 1:
        if "val" in splits.values():
            splits[max(places, key=lambda subject: places[subject])] = "train"
        else:
            splits[min(places, key=lambda subject: places[subject])] = "val"
    if test:
        left = sorted((name for name in splits if splits[name] == "train"), key=lambda name: places[name])
        chosen = [name for name in left if places[name] < VALIDATION_SHARE + TEST_SHARE] or left[:1]
        splits |= dict.fromkeys(chosen if len(chosen) < len(left) else chosen[:-1], "test")
    return splits


def check_splits(entries: Sequence[Entry], source: str) -> None:
    """Refuse a subject in two of train, val and test.

    Raises:
        BadInput: naming the subjects.
    """
    found: defaultdict[str, set[str]] = defaultdict(set)
    for entry in entries:
        if entry.split in ("train", "val", "test"):
            found[entry.subject].add(entry.split)
    twice = sorted(subject for subject, splits in found.items() if len(splits) > 1)
    if twice:
        names = ", ".join(twice[:5]) + (f" and {len(twice) - 5} more" if len(twice) > 5 else "")
        where = " and ".join(sorted(found[twice[0]]))
        raise BadInput(
            f"{source}: subject {names} is in two splits ({where}), so results would flatter; "
            "keep every subject in one split"
        )


def _place(subject: str) -> float:
    """A number in 0..1 that depends on the name alone."""
    digest = hashlib.sha256(subject.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
