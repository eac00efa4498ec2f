"""Comparing evaluations of one cohort: paired differences with intervals and permutation tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from unlesion.errors import BadInput
from unlesion.evaluation.bootstrap import Bootstrap
from unlesion.evaluation.metric import Interval
from unlesion.evaluation.paired import SCHEMES, Scheme
from unlesion.evaluation.stored import TWIN, StoredEvaluation
from unlesion.evaluation.within import PLACE as WITHIN
from unlesion.files import write_json, write_table
from unlesion.wording import count

ROUNDS = 10_000


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """The second evaluation against the first in one metric.

    Attributes:
        metric: its name, such as "voxel.ap".
        first, second: the metric in each; None where undefined.
        difference: second - first.
        ci: its 95 % interval by bootstrap over subjects, both resampled alike; None below 5 subjects.
        p_value: two-sided, by permutation: for random subjects the two are exchanged.
        why: why there is no difference; each may have a value for all that.
    """

    metric: str
    first: float | None
    second: float | None
    difference: float | None = None
    ci: Interval | None = None
    p_value: float | None = None
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two evaluations of one cohort.

    Attributes:
        first, second: their names.
        scoring: which scoring was compared.
        subjects: how many subjects both rest on.
        differences: one a metric.
        group: (column, group) that was compared; None: all scans.
    """

    first: str
    second: str
    scoring: str
    subjects: int
    differences: tuple[PairedDifference, ...]
    group: tuple[str, str] | None = None

    def get(self, metric: str) -> PairedDifference | None:
        """The difference in a metric, by its name.

        "voxel.ap", "voxel.dice_at_fpr.fpr_001", "image.auroc"; with several modalities also
        "image.auroc_within_modality", with true healthy twins "twin.gain".
        """
        return next((found for found in self.differences if found.metric == metric), None)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "first": self.first,
            "second": self.second,
            "scoring": self.scoring,
            "subjects": self.subjects,
            **({} if self.group is None else {"by": self.group[0], "group": self.group[1]}),
            "differences": {
                d.metric: {
                    "first": d.first,
                    "second": d.second,
                    "value": d.difference,
                    "ci": None if d.ci is None else list(d.ci),
                    "p_value": d.p_value,
                    **({"why": d.why} if d.why else {}),
                }
                for d in self.differences
            },
        }


def compare(
    evaluations: Sequence[Path | str],
    *,
    scoring: str = "native",
    by: str | None = None,
    bootstrap: Bootstrap | None = None,
    rounds: int = ROUNDS,
) -> list[Comparison]:
    """Compare every pair of evaluations.

    Args:
        evaluations: folders written by `Evaluation.write`, of one cohort.
        scoring: "native" or "shared".
        by: a column of `by` in metrics.json: each of its groups is compared, instead of all scans.
        bootstrap: how intervals are made.
        rounds: of the permutation tests (all exchanges are counted where they are fewer).

    Returns:
        One comparison for each pair, in the order given, and group; differences are second - first.

    Raises:
        BadInput: fewer than two, not evaluations, of differing cohorts, or without results by that column or any group that all have.
    """
    if len(evaluations) < 2:
        raise BadInput("compare needs at least two evaluations; name the folders that `evaluate` wrote")
    stored = [StoredEvaluation.open(Path(path), scoring=scoring) for path in evaluations]
    for other in stored[1:]:
        _check_same_cohort(stored[0], other)
    stored = [replace(one, called=name) for one, name in zip(stored, _names(stored), strict=True)]
    resampling = bootstrap or Bootstrap()
    pairs = list(combinations(stored, 2))
    if by is not None:
        groups = [group for group in stored[0].groups(by) if all(group in s.groups(by) for s in stored)]
        if not groups:
            raise BadInput(f"--by {by}: there is no group that all of the evaluations have")
        kinds = {group: [s.of_group(by, group) for s in stored] for group in groups}
        places = list(combinations(range(len(stored)), 2))
        pairs = [(kinds[group][i], kinds[group][j]) for i, j in places for group in groups]
    return [_compared(one, two, resampling, rounds) for one, two in pairs]


def names_of(comparisons: Sequence[Comparison]) -> list[str]:
    """What the evaluations are called, in the order in which they were given."""
    return list(dict.fromkeys(name for pair in comparisons for name in (pair.first, pair.second)))


def _names(stored: Sequence[StoredEvaluation]) -> list[str]:
    """The names of evaluations; of those that share one, with their folders."""
    labels = [one.label for one in stored]
    names = [
        label if labels.count(label) == 1 else f"{label} ({one.path.as_posix()})"
        for one, label in zip(stored, labels, strict=True)
    ]
    # The same folder twice.
    return [name if names.count(name) == 1 else f"{name} {n}" for n, name in enumerate(names, start=1)]


def write_comparison(comparisons: Sequence[Comparison], out: Path) -> None:
    """Write `compare.json` and `compare.csv` into a folder."""
    out = Path(out)
    columns = [
        "first",
        "second",
        "scoring",
        "by",
        "group",
        "metric",
        "value_first",
        "value_second",
        "difference",
    ]
    columns += ["ci_low", "ci_high", "p_value", "subjects", "why"]
    rows = []
    for pair in comparisons:
        by, group = pair.group or (None, None)
        for d in pair.differences:
            low, high = d.ci or (None, None)
            values = [
                pair.first,
                pair.second,
                pair.scoring,
                by,
                group,
                d.metric,
                d.first,
                d.second,
                d.difference,
            ]
            values += [low, high, d.p_value, pair.subjects, d.why]
            rows.append(dict(zip(columns, values, strict=True)))
    write_table(out / "compare.csv", columns, rows)
    write_json(
        out / "compare.json",
        {
            "notice": "For research use only; not a medical device.",
            "comparisons": [pair.to_json() for pair in comparisons],
        },
    )


def _compared(one: StoredEvaluation, two: StoredEvaluation, bootstrap: Bootstrap, rounds: int) -> Comparison:
    return Comparison(
        first=one.label,
        second=two.label,
        scoring=one.scoring,
        subjects=_subjects(one),
        differences=tuple(
            _difference(name, scheme, one, two, bootstrap, rounds)
            for name, scheme in SCHEMES.items()
            if name not in (WITHIN, TWIN) or _asked(name, one, two)
        ),
        group=one.group,
    )


def _asked(name: str, one: StoredEvaluation, two: StoredEvaluation) -> bool:
    """Whether a metric is one that both measured: some need several modalities or true twins, and groups have neither."""
    if name == TWIN:
        return one.group is None and None not in (one.metric(name), two.metric(name))
    return one.has(name) and two.has(name)


def _subjects(stored: StoredEvaluation) -> int:
    """How many subjects there are; of a group, those in it, not those that its scans stand against."""
    if stored.group is None:
        return len(set(stored.images.subjects))
    column, group = stored.group
    return int(stored.whole["by"][column][group]["n"]["subjects"]["value"])


def _difference(
    name: str,
    scheme: Scheme,
    one: StoredEvaluation,
    two: StoredEvaluation,
    bootstrap: Bootstrap,
    rounds: int,
) -> PairedDifference:
    first, second = one.metric(name), two.metric(name)
    if first is None or second is None:
        why = one.why(name) or two.why(name)
    else:
        why = {WITHIN: _unpaired, TWIN: _other_twins}.get(name, _nothing)(one, two)
    if first is None or second is None or why:
        return PairedDifference(metric=name, first=first, second=second, why=why)
    pair = scheme(one, two)
    enough = min(one.carriers(name), two.carriers(name)) >= 2
    if one.group is not None:
        # Healthy subjects that a group stands against do not make up for few of its own.
        enough = enough and one.has_interval(name) and two.has_interval(name)
    ci = pair.interval(second - first, bootstrap) if enough else None
    return PairedDifference(
        metric=name,
        first=first,
        second=second,
        difference=second - first,
        ci=ci,
        p_value=pair.p_value(rounds=rounds, seed=bootstrap.seed),
    )


def _unpaired(one: StoredEvaluation, two: StoredEvaluation) -> str:
    """Why image AUROC within modality cannot be compared though both have it; "" if it can."""
    for stored in (one, two):
        if not stored.by_modality:
            return f"{stored.path} was evaluated before scores were kept by modality; evaluate it again"
    ours, theirs = (
        {name: (t.subjects, t.owner.tolist(), t.anomalous.tolist()) for name, t in s.by_modality.items()}
        for s in (one, two)
    )
    if ours == theirs:
        return ""
    return (
        f"{two.path} takes scans for other modalities than {one.path}; evaluate both with the same manifest"
    )


def _other_twins(one: StoredEvaluation, two: StoredEvaluation) -> str:
    """Why twin gains cannot be compared though both have one; "" if they can."""
    for stored in (one, two):
        if not stored.twin:
            return f"{stored.path} was evaluated before errors were kept by subject; evaluate it again"
    if set(one.twin) == set(two.twin):
        return ""
    return f"{two.path} heals other subjects than {one.path}; evaluate both with the same manifest"


def _nothing(one: StoredEvaluation, two: StoredEvaluation) -> str:
    return ""


def _check_same_cohort(one: StoredEvaluation, two: StoredEvaluation) -> None:
    ours, theirs = one.cohort, two.cohort
    digests = ours.get("digest"), theirs.get("digest")
    if None not in digests and digests[0] != digests[1]:
        raise BadInput(
            f"{two.path}: evaluated on another cohort ({theirs.get('name', '?')} {digests[1]}) than "
            f"{one.path} ({ours.get('name', '?')} {digests[0]}); compare evaluations of one cohort and split"
        )
    if ours.get("evaluated") != theirs.get("evaluated"):
        raise BadInput(
            f"{two.path}: rests on other scans, labels or regions of interest ({count(two.scans, 'scan')}, "
            f"{two.voxels_count} voxels) than {one.path} ({one.scans} scans, {one.voxels_count} voxels); "
            "evaluate both on the same scans, with roi_path or the same recipe"
        )
