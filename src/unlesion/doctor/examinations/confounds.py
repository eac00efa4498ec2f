"""Confounds: how well trivial predictors tell anomalous images from healthy ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unlesion.doctor.auroc import FEWEST_SUBJECTS, Separation, separation
from unlesion.doctor.examination import Measured, Seen
from unlesion.doctor.finding import Finding
from unlesion.doctor.predictors import BY_SHARES, measure, predictors, shares
from unlesion.doctor.sight import Sight

# A predictor is telling if its whole interval lies outside: 0.08 tells as much as 0.92.
BAND = (0.35, 0.65)


@dataclass(frozen=True, kw_only=True)
class Confound:
    """One predictor on one comparison.

    Attributes:
        comparison: which images are compared, for people.
        predictor: its name.
        found: AUROC, interval and numbers.
    """

    comparison: str
    predictor: str
    found: Separation

    @property
    def telling(self) -> bool:
        """Whether it separates the labels beyond doubt."""
        interval = self.found.interval
        if interval is None:
            return False
        return interval[0] > BAND[1] or (interval[1] < BAND[0] and self.predictor not in BY_SHARES)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        found = self.found
        return {
            "comparison": self.comparison,
            "predictor": self.predictor,
            "auroc": found.auroc,
            "interval": None if found.interval is None else list(found.interval),
            "images": found.images,
            "subjects": found.subjects,
            "telling": self.telling,
        }


class Confounds(Measured):
    """No trivial predictor tells anomalous images from healthy ones."""

    name = "confounds"

    def measure(self, sight: Sight) -> dict[str, float]:
        return measure(sight)

    def table(self, seen: Sequence[Seen]) -> list[Confound]:
        """Every predictor on every comparison, the most telling first."""
        known = [pair for pair in self.known(seen) if pair[0].entry.label != "unknown"]
        out = _by_modality(known)
        for comparison, pairs in _comparisons(known):
            rows = [one for one, _ in pairs]
            anomalous = np.asarray([one.entry.label == "anomalous" for one in rows])
            subjects = [one.entry.subject for one in rows]
            for name, values in predictors(rows, [facts for _, facts in pairs]).items():
                # Of some images it may not be known.
                there = np.isfinite(values)
                owners = [subject for subject, known_of in zip(subjects, there, strict=True) if known_of]
                found = separation(values[there], anomalous[there], owners)
                out.append(Confound(comparison=comparison, predictor=name, found=found))
        return sorted(out, key=lambda row: (not row.telling, -abs(row.found.auroc - 0.5)))

    def judge(self, seen: Sequence[Seen]) -> Iterable[Finding]:
        return findings_of(self.table(seen))


def findings_of(table: Sequence[Confound]) -> Iterable[Finding]:
    """A finding for each telling predictor of each comparison."""
    for row in table:
        if row.telling:
            yield Finding(
                code=f"confound.{row.predictor.replace(' ', '-')}",
                level="warning",
                where=(),
                what=f"{row.comparison}: {row.predictor} alone tells them apart",
                mend="compare with a detector that sees nothing else, match the groups, or report pixel-level "
                "scores: a good image score need not mean that the anomaly was found",
                value=row.found.auroc,
                interval=row.found.interval,
                n=row.found.images,
            )


Pairs = list[tuple[Seen, Any]]


def _by_modality(known: Pairs) -> list[Confound]:
    """What the modality alone tells, over all of them; within one it tells nothing."""
    tested = [pair for pair in known if pair[0].entry.split == "test"]
    rows = [one for one, _ in (tested if _enough(tested) else known)]
    names = ["+".join(one.group) for one in rows]
    anomalous = np.asarray([one.entry.label == "anomalous" for one in rows])
    if len(set(names)) < 2 or not all(names) or anomalous.all() or not anomalous.any():
        return []
    subjects = [one.entry.subject for one in rows]
    found = separation(shares(names, anomalous, subjects), anomalous, subjects)
    return [Confound(comparison="anomalous against healthy (all)", predictor="modality", found=found)]


def _comparisons(known: Pairs) -> Iterable[tuple[str, Pairs]]:
    """Anomalous against healthy images of each modality, all together and each pathology alone.

    Test images where they will do: there the scores are computed; else all.
    """
    groups: defaultdict[tuple[str, ...], Pairs] = defaultdict(list)
    for one, facts in known:
        groups[one.group].append((one, facts))
    for modality, pairs in groups.items():
        tested = [pair for pair in pairs if pair[0].entry.split == "test"]
        chosen, where = (tested, ", test") if _enough(tested) else (pairs, "")
        healthy = [pair for pair in chosen if pair[0].entry.label == "healthy"]
        kinds: defaultdict[str, Pairs] = defaultdict(list)
        for pair in chosen:
            if pair[0].entry.label == "anomalous":
                kinds[pair[0].entry.pathology].append(pair)
        if not healthy or not kinds:
            continue
        name = "+".join(filter(None, modality))
        name = f"{name}{where}" if name else where.removeprefix(", ") or "all"
        everything = [pair for own in kinds.values() for pair in own]
        if len(kinds) == 1:
            (kind,) = kinds
            yield f"{kind or 'anomalous'} against healthy ({name})", [*everything, *healthy]
            continue
        yield f"anomalous against healthy ({name})", [*everything, *healthy]
        for kind, own in kinds.items():
            if _enough([*own, *healthy]):
                yield f"{kind or 'unnamed'} against healthy ({name})", [*own, *healthy]


def _enough(pairs: Pairs) -> bool:
    """Whether both labels have enough subjects for an interval."""
    return all(
        len({one.entry.subject for one, _ in pairs if one.entry.label == label}) >= FEWEST_SUBJECTS
        for label in ("healthy", "anomalous")
    )
