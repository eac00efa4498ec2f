"""Whether images look like their modality: intensities and shape beside those of the others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from unlesion.doctor.examination import Measured, Seen
from unlesion.doctor.finding import Finding
from unlesion.doctor.sight import Sight
from unlesion.doctor.thumbnail import means_of_others, unit

BINS = 24
# A modality needs so many subjects before anything can be compared with it.
FEWEST_SUBJECTS = 5
# An image looks like another modality if its intensities are distributed that much more like theirs (ratio of
# distances) and its picture resembles theirs more, ...
NEARER = 0.5
# ... or if its picture resembles theirs so much more (difference of correlations): another body part.
# Measured with ten labels changed among 516 images: 7 to 10 of the ten are found, and no other one.
MORE_ALIKE = 0.3

Floats = NDArray[np.float64]


class Modality(Measured):
    """No image looks like another modality of the cohort than its own."""

    name = "intensities"

    def measure(self, sight: Sight) -> Floats:
        values = sight.coarse[sight.object]
        low, high = np.percentile(values, [1, 99])
        scaled = np.clip((values - low) / max(float(high - low), 1e-12), 0, 1)
        counts = np.histogram(scaled, bins=BINS, range=(0, 1))[0]
        return np.cumsum(counts / max(counts.sum(), 1))

    def judge(self, seen: Sequence[Seen]) -> Iterable[Finding]:
        rows = [
            (one, values)
            for one, values in self.known(seen)
            if len(one.group) == 1 and one.group[0] and "thumbnail" in one.measured
        ]
        kinds: defaultdict[int, list[tuple[Seen, Floats]]] = defaultdict(list)
        for one, values in rows:
            kinds[one.measured["thumbnail"].ndim].append((one, values))
        where: dict[str, str] = {}
        compared = 0
        for pairs in kinds.values():
            compared += self._compare(pairs, where)
        if where:
            yield Finding(
                code="modality.disagrees",
                level="warning",
                where=tuple(where),
                what="looks like another modality than the one given",
                detail=next(iter(where.values())),
                mend="look at it, and correct the column modality",
                of=compared,
            )

    def _compare(self, pairs: list[tuple[Seen, Floats]], where: dict[str, str]) -> int:
        names = np.asarray([one.group[0] for one, _ in pairs])
        subjects = np.asarray([one.entry.subject for one, _ in pairs])
        curves = np.stack([values for _, values in pairs])
        pictures = unit(np.stack([one.measured["thumbnail"] for one, _ in pairs]))
        large = [
            name for name in np.unique(names) if len(set(subjects[names == name].tolist())) > FEWEST_SUBJECTS
        ]
        if len(large) < 2:
            return 0
        distance, likeness = np.empty((len(large), len(pairs))), np.empty((len(large), len(pairs)))
        for row, name in enumerate(large):
            own = names == name
            weights = own.astype(np.float64)
            total = weights @ curves
            for subject in np.unique(subjects):
                his = subjects == subject
                rest = total - weights[his] @ curves[his]
                mean = rest / max(weights.sum() - weights[his].sum(), 1.0)
                distance[row, his] = np.abs(curves[his] - mean).mean(axis=1)
            likeness[row] = pictures @ unit(pictures[own].mean(axis=0)[None])[0]
            likeness[row, own] = (
                pictures[own]
                * means_of_others(pictures[own], subjects[own].tolist(), [0] * int(own.sum()))[0]
            ).sum(axis=1)
        for index, (one, _) in enumerate(pairs):
            if names[index] not in large:
                continue
            mine = large.index(names[index])
            best = int(distance[:, index].argmin())
            nearer = distance[best, index] < NEARER * distance[mine, index]
            if best == mine or not (nearer and likeness[best, index] > likeness[mine, index]):
                best = int(likeness[:, index].argmax())
                if likeness[best, index] < likeness[mine, index] + MORE_ALIKE:
                    continue
            where[one.key] = f"given as {names[index]}, like {large[best]}"
        return len(pairs)
