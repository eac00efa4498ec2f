"""Does one method lead another in every seed? Paired differences of kept rows, a line a question and seed, then their mean.

    python benchmarks/seeds.py benchmarks/results/implants_oasis cddpm:ddpm cddpm-500:ddpm-500
    python benchmarks/seeds.py benchmarks/results/oasis_inverted dal:ra-maps dal:vae --every

A question names the labels of two rows, with a colon between them; the difference is first minus second, by each method's own
scoring or, with `--scoring shared`, by one for all.
Only rows of one test set are compared: of that on which most seeds have both. The line "mean" is over the seeds; its interval
(95 %, bootstrap over subjects) draws the same subjects for all of them, so it tells how sure the mean is of the subjects, not
what further seeds would give: for that, look at how far the seeds lie apart. Where the two rows of a seed learnt in
different precisions, on different machines that is, both stand beside it. Of several rows of a label and seed the newest version counts.

With `--every` the seeds need not be the same: one line, the mean of all seeds of the first minus that of all of the second.
A label alone asks what it has itself, the mean over its seeds: voxel AP, with shared scoring, within scans; Dice at the
threshold that 1 % of healthy voxels exceed, and how many really do.

For research use only; not a medical device.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from unlesion.errors import BadInput
from unlesion.evaluation import compare
from unlesion.evaluation.bootstrap import Bootstrap, Floats
from unlesion.evaluation.metric import Interval
from unlesion.evaluation.paired import SCHEMES, Pair
from unlesion.evaluation.stored import StoredEvaluation
from unlesion.files import read_json
from unlesion.report.numbers import value_of

METRICS = {
    "voxel.ap": "voxel AP",
    "voxel.dice_at_fpr.fpr_001": "Dice at 1 % healthy FPR",
    "twin.gain": "twin gain",
}


class MeanPair(Pair):
    """The mean over seeds of one difference; a subject is drawn for all seeds alike."""

    def __init__(self, pairs: list[Pair]) -> None:
        self.subjects = pairs[0].subjects
        self._pairs = pairs

    def of_weights(self, weights: Floats) -> Floats:
        return np.mean([pair.of_weights(weights) for pair in self._pairs], axis=0)

    def of_exchanges(self, exchanged: Floats) -> Floats:
        return np.mean([pair.of_exchanges(exchanged) for pair in self._pairs], axis=0)


def question(text: str) -> tuple[str, str]:
    """The two labels."""
    first, _, second = text.partition(":")
    if not first or not second:
        raise BadInput(f"{text}: name two rows, such as cddpm:ddpm")
    return first, second


def evaluations(folder: Path, first: str, second: str) -> dict[int, tuple[Path, Path]]:
    """By seed, what comparisons need of both rows, on the test set on which most seeds have both."""
    found: dict[Any, dict[int, dict[str, Path]]] = defaultdict(lambda: defaultdict(dict))
    for row, path in _rows(folder, first, second):
        found[row["identity"]["test"]][row["seed"]][row["method"]] = path
    both = [
        {
            seed: (rows[first], rows[second])
            for seed, rows in sorted(seeds.items())
            if {first, second} <= set(rows)
        }
        for seeds in found.values()
    ]
    most = max(both, key=len, default={})
    if not most:
        raise BadInput(f"{folder}: no seed with rows of both {first} and {second}")
    return most


def _rows(folder: Path, *labels: str) -> list[tuple[dict[str, Any], Path]]:
    """Rows of these labels with what comparisons need, older versions first."""
    rows = [(read_json(path), path.with_suffix("")) for path in sorted(folder.glob("*.json"))]
    kept = [(row, path) for row, path in rows if row["method"] in labels and path.is_dir()]
    versions = ("method_version", "recontrasted", "scored")
    return sorted(kept, key=lambda pair: [pair[0]["identity"].get(name, 1) for name in versions])


def own(folder: Path, label: str) -> str:
    """The line of a label: what it has itself, the mean over its seeds."""
    newest = {row["seed"]: row for row, _ in _rows(folder, label)}
    if not newest:
        raise BadInput(f"{folder}: no rows of {label}")
    places = (
        "voxel.ap",
        "shared.voxel.ap",
        "voxel.ap_scan",
        "voxel.dice_at_fpr.fpr_001",
        "realised_fpr.fpr_001",
    )
    found = [[value_of(row["metrics"], place) for row in newest.values()] for place in places]
    means = [
        "–" if any(value is None for value in values) else f"{np.mean(values):.{3 if place < 4 else 2}f}"
        for place, values in enumerate(found)
    ]
    return f"| `{label}` | {len(newest)} | {', '.join(means[:3])}; {', '.join(means[3:])} |"


def every(folder: Path, first: str, second: str, *, scoring: str = "native") -> str:
    """The line of a question about all seeds of both, on the test set that most rows have."""
    rows = _rows(folder, first, second)
    tests = Counter(row["identity"]["test"] for row, _ in rows)
    newest = {
        (row["method"], row["seed"]): path
        for row, path in rows
        if row["identity"]["test"] == tests.most_common(1)[0][0]
    }
    ones, twos = ([path for (label, _), path in newest.items() if label == own] for own in (first, second))
    if not ones or not twos:
        raise BadInput(f"{folder}: no rows of both {first} and {second}")
    cells = []
    for metric in METRICS:
        known: list[tuple[Pair, float]] = []
        for one in ones:
            for two in twos:
                found = compare([two, one], scoring=scoring)[0].get(metric)
                if found is not None and found.difference is not None:
                    opened = [StoredEvaluation.open(path, scoring=scoring) for path in (two, one)]
                    known.append((SCHEMES[metric](*opened), found.difference))
        cells.append(_mean(known) if known else "–")
    return "| " + " | ".join([f"`{first}` minus `{second}`", f"{len(ones)} and {len(twos)}", *cells]) + " |"


def lines(folder: Path, first: str, second: str, *, scoring: str = "native") -> list[str]:
    """The lines of a question: a seed each, then the mean."""
    cells: dict[str, list[str]] = defaultdict(list)
    known: dict[str, list[tuple[Pair, float]]] = {metric: [] for metric in METRICS}
    paths = evaluations(folder, first, second)
    for seed, (one, two) in paths.items():
        name = str(seed) + _precisions(one, two)
        # Differences are of the second.
        comparison = compare([two, one], scoring=scoring)[0]
        opened = [StoredEvaluation.open(path, scoring=scoring) for path in (two, one)]
        for metric in METRICS:
            found = comparison.get(metric)
            if found is None or found.difference is None:
                cells[name].append("–")
                continue
            cells[name].append(_cell(found.difference, found.ci))
            known[metric].append((SCHEMES[metric](*opened), found.difference))
    if len(paths) > 1:
        cells["mean"] = [_mean(known[metric]) if len(known[metric]) > 1 else "–" for metric in METRICS]
    return [
        "| " + " | ".join([f"`{first}` minus `{second}`", name, *texts]) + " |"
        for name, texts in cells.items()
    ]


def _precisions(one: Path, two: Path) -> str:
    """Those in which both learnt, if they are not the same."""
    rows = [read_json(path.with_suffix(".json")) for path in (one, two)]
    names = [row.get("metrics", {}).get("record", {}).get("precision", "") for row in rows]
    return "" if names[0] == names[1] else f" ({names[0]}, {names[1]})"


def _mean(known: list[tuple[Pair, float]]) -> str:
    value = float(np.mean([difference for _, difference in known]))
    return _cell(value, MeanPair([pair for pair, _ in known]).interval(value, Bootstrap()))


def _cell(value: float, ends: Interval | None) -> str:
    return f"{value:+.3f}" + (f" [{ends[0]:+.3f}, {ends[1]:+.3f}]" if ends else "")


def main(words: list[str] | None = None) -> None:
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="RESULTS/COHORT")
    parser.add_argument("questions", nargs="+", metavar="FIRST:SECOND or LABEL")
    parser.add_argument("--scoring", choices=("native", "shared"), default="native")
    parser.add_argument("--every", action="store_true")
    given = parser.parse_args(words)
    told = {"scoring": given.scoring}
    try:
        found = [
            line
            for text in given.questions
            for line in (
                [own(given.folder, text)]
                if ":" not in text
                else [every(given.folder, *question(text), **told)]
                if given.every
                else lines(given.folder, *question(text), **told)
            )
        ]
    except BadInput as error:
        sys.exit(str(error))
    print("| " + " | ".join(["question", "seed", *METRICS.values()]) + " |")
    print("|" + "---|" * (2 + len(METRICS)))
    print("\n".join(found))


if __name__ == "__main__":
    main()
