"""Who is in which split: leakage, too few subjects, healthy images of the sick."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from unlesion.doctor.examination import Seen, Tabular, rows_with, subjects_of
from unlesion.doctor.finding import Finding
from unlesion.scans.splits import split_by_subject
from unlesion.wording import count

SPLITS = ("train", "val", "test")

# Below so many subjects no statistic gets an interval.
FEWEST_FOR_INTERVALS = 5
# Below so many healthy subjects in `val`, alpha = 0.05 cannot be supported.
FEWEST_TO_CALIBRATE = 19


class Leakage(Tabular):
    """No subject is in two splits."""

    name = "leakage"

    def judge(self, seen: Sequence[Seen]) -> Iterable[Finding]:
        splits: defaultdict[str, set[str]] = defaultdict(set)
        for one in seen:
            if one.entry.split in SPLITS:
                splits[one.entry.subject].add(one.entry.split)
        leaking = sorted(subject for subject, where in splits.items() if len(where) > 1)
        if leaking:
            yield Finding(
                code="subjects.in-two-splits",
                level="error",
                where=tuple(leaking),
                what="the subject is in two splits",
                detail=" and ".join(sorted(splits[leaking[0]])),
                mend="keep every subject in one split: no other verb opens this cohort",
                of=len(splits),
                unit="subject",
            )


class Numbers(Tabular):
    """There are enough subjects to learn, to calibrate and to test."""

    name = "numbers"

    def judge(self, seen: Sequence[Seen]) -> Iterable[Finding]:
        if not any(one.entry.split for one in seen):
            yield from self._unsplit(seen)
            return
        if not rows_with(seen, split="train", label="healthy"):
            yield Finding(
                code="subjects.none-to-train",
                level="warning",
                where=(),
                what="no healthy row in split 'train': nothing can be learnt from this cohort",
                mend="nothing, if it is for testing only",
            )
        elif len(subjects_of(rows_with(seen, split="train", label="healthy"))) < 2:
            yield Finding(
                code="subjects.one-to-train",
                level="warning",
                where=(),
                what="one healthy subject in split 'train': training refuses that",
                mend="add healthy subjects",
            )
        yield from self._calibration(len(subjects_of(rows_with(seen, split="val", label="healthy"))))
        yield from self._sources(seen)
        for label in ("healthy", "anomalous"):
            testing = subjects_of(rows_with(seen, split="test", label=label))
            if 0 < len(testing) < FEWEST_FOR_INTERVALS:
                yield Finding(
                    code=f"subjects.few-{label}-to-test",
                    level="note",
                    where=testing,
                    what=f"only {count(len(testing), f'{label} subject')} in split 'test': "
                    f"below {FEWEST_FOR_INTERVALS} metrics have no interval",
                    mend="add subjects, or read the numbers as cases and not as rates",
                    unit="subject",
                    value=float(len(testing)),
                )

    def _unsplit(self, seen: Sequence[Seen]) -> Iterable[Finding]:
        """How many would calibrate a run on this cohort; `train` splits it by itself."""
        healthy = subjects_of(rows_with(seen, label="healthy"))
        splits = split_by_subject([one.entry.subject for one in seen])
        many = sum(splits[subject] == "val" for subject in healthy)
        if len(healthy) >= 2 and many < FEWEST_TO_CALIBRATE:
            yield Finding(
                code="subjects.few-to-calibrate",
                level="note",
                where=(),
                what=f"no column 'split', so a run on this cohort would be calibrated by {many} of "
                f"{count(len(healthy), 'healthy subject')}: no p-value below 1/{many + 1} = {1 / (many + 1):.3g}",
                mend=f"nothing, if nothing is to be learnt from it; --alpha 0.05 takes {FEWEST_TO_CALIBRATE} that calibrate: about "
                f"{FEWEST_TO_CALIBRATE * 5} healthy subjects in all, or others for `unlesion calibrate`",
                value=1 / (many + 1),
            )

    def _sources(self, seen: Sequence[Seen]) -> Iterable[Finding]:
        """Sources that have few subjects of their own, where there are several."""
        sources = sorted({one.entry.columns.get("source", "") for one in seen} - {""})
        if len(sources) < 2:
            return
        few: dict[str, str] = {}
        for source in sources:
            own = [one for one in seen if one.entry.columns.get("source") == source]
            counts = {
                label: len(subjects_of(rows_with(own, split="test", label=label)))
                for label in ("healthy", "anomalous")
            }
            said = [
                count(many, f"{label} subject")
                for label, many in counts.items()
                if 0 < many < FEWEST_FOR_INTERVALS
            ]
            if said:
                few[source] = f"{' and '.join(said)} in split 'test'"
        if few:
            yield Finding(
                code="subjects.few-in-source",
                level="note",
                where=tuple(few),
                what=f"fewer than {FEWEST_FOR_INTERVALS} subjects to test on, so no intervals of its own",
                detail=next(iter(few.values())),
                mend="read its numbers as cases and not as rates",
                of=len(sources),
                unit="source",
            )

    def _calibration(self, many: int) -> Iterable[Finding]:
        if many == 0:
            yield Finding(
                code="subjects.none-to-calibrate",
                level="warning",
                where=(),
                what="no healthy row in split 'val': a run would have no thresholds and no p-values",
                mend="add healthy subjects to 'val', or use `unlesion calibrate`",
                value=0.0,
            )
        elif many < FEWEST_TO_CALIBRATE:
            yield Finding(
                code="subjects.few-to-calibrate",
                level="warning" if many < FEWEST_FOR_INTERVALS else "note",
                where=(),
                what=f"{count(many, 'healthy subject')} in split 'val': "
                f"no p-value below 1/{many + 1} = {1 / (many + 1):.3g}",
                mend=f"add healthy subjects ({FEWEST_TO_CALIBRATE} support --alpha 0.05), or ask for a larger --alpha",
                value=1 / (many + 1),
            )


class SickSources(Tabular):
    """Healthy images come from healthy subjects, and slices do not betray their label by their height."""

    name = "sick"

    def judge(self, seen: Sequence[Seen]) -> Iterable[Finding]:
        # A modality apart: an anomaly may show in one sequence and not in another.
        rows: defaultdict[str, list[Seen]] = defaultdict(list)
        for one in seen:
            rows[one.entry.subject].append(one)
        both = {"healthy", "anomalous"}
        mixed = {subject: own for subject, own in rows.items() if both <= {one.entry.label for one in own}}
        if not mixed:
            return
        healthy = subjects_of(rows_with(seen, label="healthy"))
        also = tuple(subject for subject in healthy if subject in mixed)
        yield Finding(
            code="subjects.healthy-of-sick",
            level="warning",
            where=also,
            what="a subject with healthy images has anomalous ones too" + self._sources(seen, mixed),
            mend="mass effect, treatment or unmarked disease may be learnt as healthy; "
            "report pixel-level scores",
            of=len(healthy),
            unit="subject",
        )
        yield from self._heights(mixed)

    def _sources(self, seen: Sequence[Seen], mixed: dict[str, list[Seen]]) -> str:
        """Sources of which all tested subjects are sick: their training images are of the sick as well."""
        tested: defaultdict[str, set[str]] = defaultdict(set)
        trained: defaultdict[str, set[str]] = defaultdict(set)
        for one in seen:
            source = one.entry.columns.get("source", "")
            if one.entry.split == "train":
                trained[source].add(one.entry.subject)
            elif one.entry.label == "healthy":
                tested[source].add(one.entry.subject)
        sick = [s for s, names in tested.items() if names and names <= set(mixed) and trained.get(s)]
        if not sick:
            return ""
        names = ", ".join(sick) or "this cohort"
        count = sum(len(trained[source]) for source in sick)
        return (
            f"; in {names} that holds for every subject in val and test, "
            f"so the {count} in train may be sick as well"
        )

    def _heights(self, mixed: dict[str, list[Seen]]) -> Iterable[Finding]:
        apart, inside, of = [], 0, 0
        for subject, own in mixed.items():
            healthy = [o.entry.position for o in own if o.entry.label == "healthy"]
            sick = [o.entry.position for o in own if o.entry.label == "anomalous"]
            good = [p for p in healthy if p is not None]
            bad = [p for p in sick if p is not None]
            if not good or not bad:
                continue
            of += 1
            within = sum(min(bad) <= p <= max(bad) for p in good)
            inside += within
            if not within:
                apart.append(subject)
        if of >= FEWEST_FOR_INTERVALS and len(apart) > 0.8 * of:
            yield Finding(
                code="slices.healthy-beside-lesions",
                level="warning",
                where=tuple(apart),
                what="every healthy slice lies above or below all anomalous slices of its subject",
                mend="slice-level detection scores measure height in the head: report pixel-level scores only",
                of=of,
                unit="subject",
                value=len(apart) / of,
            )
