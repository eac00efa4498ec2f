"""Which lesions go into which scans: decided by seed and key, whatever else the cohort holds or who works on it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unlesion.errors import BadInput
from unlesion.phantom.pathologies import PATHOLOGIES
from unlesion.phantom.pathologies.base import ball_radius
from unlesion.scans import Entry
from unlesion.seeds import seed_of

# Of the slices of a volume, every so many-th gets lesions: neighbours are nearly equal.
EVERY_SLICE = 4
SMALLEST_ML, LARGEST_ML = 0.05, 60.0


@dataclass(frozen=True)
class Sizes:
    """Volumes of lesions in ml: a range, drawn evenly in the logarithm, or a list to choose from."""

    low: float = SMALLEST_ML
    high: float = LARGEST_ML
    listed: tuple[float, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Sizes:
        """From "0.5-20" or "0.1,1,10".

        Raises:
            BadInput: neither, or outside of what the pathologies can be.
        """
        try:
            if "-" in text:
                low, high = (float(part) for part in text.split("-"))
                sizes = cls(low=low, high=high)
            else:
                listed = tuple(sorted(float(part) for part in text.split(",")))
                sizes = cls(low=listed[0], high=listed[-1], listed=listed)
        except (ValueError, IndexError) as error:
            raise BadInput(f"--sizes {text}: write ml, as 0.5-20 or 0.1,1,10") from error
        if not SMALLEST_ML <= sizes.low <= sizes.high <= LARGEST_ML:
            raise BadInput(
                f"--sizes {text}: lesions have {SMALLEST_ML:g} to {LARGEST_ML:g} ml, the smaller first"
            )
        return sizes

    def fits(self, pathology: str) -> bool:
        """Whether the pathology comes in any of these sizes."""
        return (
            bool(self._for(pathology))
            if self.listed
            else self._ends(pathology)[0] <= self._ends(pathology)[1]
        )

    def at(self, pathology: str, share: float) -> float:
        """The size at a share (0..1) of those that the pathology comes in."""
        if self.listed:
            chosen = self._for(pathology)
            return chosen[min(int(share * len(chosen)), len(chosen) - 1)]
        low, high = self._ends(pathology)
        return float(low * (high / low) ** share)

    def _ends(self, pathology: str) -> tuple[float, float]:
        kind = PATHOLOGIES[pathology]
        return max(self.low, kind.smallest_ml), min(self.high, kind.largest_ml)

    def _for(self, pathology: str) -> tuple[float, ...]:
        kind = PATHOLOGIES[pathology]
        return tuple(size for size in self.listed if kind.smallest_ml <= size <= kind.largest_ml)


@dataclass(frozen=True, kw_only=True)
class Implant:
    """One lesion to be implanted.

    Attributes:
        key: of the new scan, unique in the new cohort; starts with the split.
        pathology: a name of `PATHOLOGIES`.
        volume_ml: asked for; of a slice, the volume of the ball whose largest section the lesion is to have.
        strength: share of the typical contrast.
        seed: decides place and shape.
    """

    key: str
    pathology: str
    volume_ml: float
    strength: float
    seed: int


def plan_implants(
    entries: Sequence[Entry], *, seed: int, pathologies: Sequence[str], sizes: Sizes, per_scan: int | None
) -> dict[str, list[Implant]]:
    """Lesions for each scan, by its key.

    A volume gets `per_scan` lesions (each pathology once if None), a slice 1; of neighbouring slices every fourth
    is taken. Within a subject the pathologies take turns, and the sizes of each are spread evenly.
    """
    usable = [name for name in pathologies if sizes.fits(name)]
    if not usable:
        raise BadInput(
            f"--sizes {sizes.low:g} to {sizes.high:g} ml: none of {', '.join(pathologies)} comes in these sizes"
        )
    stacks: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in sorted(entries, key=lambda entry: (entry.position or 0.0, entry.key)):
        stacks["\x1f".join((entry.subject, entry.scan_id, *entry.modality))].append(entry)
    several = _subjects_with_several(stacks)
    plan: dict[str, list[Implant]] = {}
    # Of all scans: those of one subject may have one name, in folders of their own.
    taken: set[str] = set()
    for name, stack in stacks.items():
        rng = np.random.default_rng(seed_of(seed, "implants", name))
        chosen = stack
        if len(stack) > 1:
            start = int(rng.integers(min(EVERY_SLICE, len(stack))))
            chosen = stack[start::EVERY_SLICE]
        alone = chosen[0].position is None and len(stack) == 1
        each = per_scan or (len(usable) if alone else 1)
        order = [
            name for _ in range(each * len(chosen) // len(usable) + 1) for name in _shuffled(usable, rng)
        ]
        kinds = order[: each * len(chosen)]
        shares = _spread(kinds, rng)
        for number, (kind, share) in enumerate(zip(kinds, shares, strict=True)):
            entry = chosen[number // each]
            volume = float(f"{sizes.at(kind, share):.2g}")
            volume = float(np.clip(volume, PATHOLOGIES[kind].smallest_ml, PATHOLOGIES[kind].largest_ml))
            stem = _stem(entry, kind, volume, alone=alone and entry.subject not in several)
            while stem in taken:
                stem += "-b"
            taken.add(stem)
            plan.setdefault(entry.key, []).append(
                Implant(
                    key=stem,
                    pathology=kind,
                    volume_ml=volume,
                    strength=round(float(rng.uniform(0.15, 1.15)), 2),
                    seed=seed_of(seed, entry.key, kind, number),
                )
            )
    return plan


def slab_volume(volume_ml: float, thickness_mm: float) -> float:
    """What a ball of this volume has in a slab through its middle, in ml."""
    radius, half = ball_radius(volume_ml), thickness_mm / 2
    if radius <= half:
        return volume_ml
    return float(2 * np.pi * (half * radius**2 - half**3 / 3) / 1000)


def ball_of_section(area_mm2: float) -> float:
    """Volume in ml of the ball with a section of this area through its middle."""
    return float(4 / 3 * np.pi * (area_mm2 / np.pi) ** 1.5 / 1000)


def _spread(kinds: Sequence[str], rng: np.random.Generator) -> list[float]:
    """For each lesion a share 0..1; those of one pathology fall into equal parts of it."""
    shares = np.zeros(len(kinds))
    for kind in dict.fromkeys(kinds):
        where = [index for index, other in enumerate(kinds) if other == kind]
        parts = rng.permutation(len(where)) + rng.random(len(where))
        shares[where] = parts / len(where)
    return [float(share) for share in shares]


def _shuffled(names: Sequence[str], rng: np.random.Generator) -> list[str]:
    return [names[index] for index in rng.permutation(len(names))]


def _subjects_with_several(stacks: dict[str, list[Entry]]) -> set[str]:
    subjects = [stack[0].subject for stack in stacks.values()]
    return {subject for subject in subjects if subjects.count(subject) > 1}


def _stem(entry: Entry, kind: str, volume: float, *, alone: bool) -> str:
    """The key of an implanted scan: "test/malf_1002/glioma-12ml", "test/oasis_nd006/slice_04-glioma-1.2ml"."""
    lesion = f"{_plain(kind)}-{volume:g}ml"
    subject = "/".join(_plain(part) for part in entry.subject.split("/"))
    if alone:
        return f"{entry.split}/{subject}/{lesion}"
    # The key's own last name says which of the subject's scans it is.
    last = _plain(entry.key.rsplit("/", 1)[-1])
    return f"{entry.split}/{subject}/{last}-{lesion}"


def _plain(name: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "x"
