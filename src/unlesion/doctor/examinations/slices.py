"""Slices of volumes: counted as what they are, and each scaled like its neighbours."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from unlesion.doctor.examination import Measured, Seen, subjects_of
from unlesion.doctor.finding import Finding
from unlesion.doctor.sight import NO_HEAD, Sight

# Subjects need so many slices before their maxima can be compared ...
FEWEST_SLICES = 4
# ... which within a volume scaled as a whole vary more than this (SD over mean): 0.15 in lgg_flair, 0.03 in
# oasis_t1_2d, whose slices were scaled one by one.
MOST_VARIATION = 0.06
# A volume whose brightest tissue is cut off has equal maxima too, but at many pixels.
MOST_SATURATED = 0.002


@dataclass(frozen=True)
class Slice:
    """Maximum, in parts of the largest 8-bit or 16-bit value; part of the pixels that have it."""

    maximum: float
    saturated: float


class Slices(Measured):
    """Several slices of a subject are not several subjects; their intensities can be compared."""

    name = "slices"

    def measure(self, sight: Sight) -> Slice | None:
        # Radiographs are whole pictures: those of one person are other examinations, not neighbours.
        if not sight.grid.is_flat or set(sight.entry.modality) & NO_HEAD:
            return None
        high = float(sight.image.max())
        full = 255.0 if high <= 255 else 65535.0
        return Slice(high / full, float((sight.image == high).mean()))

    def judge(self, seen: Sequence[Seen]) -> Iterable[Finding]:
        known = self.known(seen)
        by_subject: defaultdict[tuple[str, tuple[str, ...]], list[Slice]] = defaultdict(list)
        for one, facts in known:
            by_subject[one.entry.subject, one.group].append(facts)
        flat = [one for one, _ in known]
        subjects = subjects_of(flat)
        if subjects and len(by_subject) * 2 < len(flat):
            yield Finding(
                code="slices.many-a-subject",
                level="note",
                where=subjects,
                what=f"{len(flat)} slices are of {len(subjects)} subjects: neighbouring slices are nearly equal",
                mend="count subjects, not images, in statistics (`unlesion evaluate` does)",
                unit="subject",
                value=len(flat) / len(subjects),
            )
        yield from self._own_scale(known)

    def _own_scale(self, known: list[tuple[Seen, Slice]]) -> Iterable[Finding]:
        sources: defaultdict[tuple[str, tuple[str, ...]], defaultdict[str, list[Slice]]]
        sources = defaultdict(lambda: defaultdict(list))
        for one, facts in known:
            source = one.entry.columns.get("source", "")
            sources[source, one.group][one.entry.subject].append(facts)
        for (source, modality), subjects in sources.items():
            enough = {s: slices for s, slices in subjects.items() if len(slices) >= FEWEST_SLICES}
            if not enough:
                continue
            maxima = [np.asarray([one.maximum for one in slices]) for slices in enough.values()]
            variation = float(np.median([values.std() / max(values.mean(), 1e-9) for values in maxima]))
            saturated = float(np.median([one.saturated for slices in enough.values() for one in slices]))
            full = float(np.median(np.concatenate(maxima))) > 0.9
            if variation < MOST_VARIATION and saturated < MOST_SATURATED and full:
                name = " ".join(filter(None, (source, *modality)))
                yield Finding(
                    code="slices.scaled-one-by-one",
                    level="warning",
                    where=tuple(enough),
                    what=f"each slice{f' of {name}' if name else ''} seems scaled on its own: "
                    "its maximum is always near the largest value",
                    mend="intensities of two slices cannot be compared; a bright lesion dims the rest of its slice",
                    of=len(subjects),
                    unit="subject",
                    value=variation,
                )
