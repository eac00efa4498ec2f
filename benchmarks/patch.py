"""What is the map worth, with the healthy images left as they are? |residual|, SSIM, patches without and with search.

    python benchmarks/patch.py MANIFEST RUN [RUN ...] --where source=lgg_flair
    python benchmarks/patch.py MANIFEST RUN --split val --set scoring.patch.size_mm=15 scoring.sign=bright

A row a run, a column a rule: pooled voxel AP on each scan's own grid inside its region, under the same post-processing,
without calibration and without standardisation. The second table has the paired differences from the residual of the
same run, and what the search window is worth. Intervals: 95 %, bootstrap over subjects. Whatever `--set` says of `scoring` goes for all rules, except the
rule itself; "without search" is `scoring.patch.search_mm=0`. Look at `--split val` to choose settings.

For research use only; not a medical device.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlesion.calibration.codes import Counts, encode
from unlesion.cli.options import pick_device, separate_settings
from unlesion.detector import Detector, roi_of
from unlesion.errors import BadInput
from unlesion.evaluation.bootstrap import Bootstrap
from unlesion.evaluation.ranking import average_precision
from unlesion.evaluation.voxels import Grouped, VoxelCounts, ranking_of
from unlesion.scans import Cohort, Entry, Scan
from unlesion.scoring import Scorer, ScoringConfig, make_scorer
from unlesion.settings import merged, nested, parse_settings, validated
from unlesion.sweep import Swept, sweep

RULES: Mapping[str, Mapping[str, Any]] = {
    "residual": {"rule": "residual"},
    "SSIM": {"rule": "ssim"},
    "patch, no search": {"rule": "patch", "patch": {"search_mm": 0.0}},
    "patch, search": {"rule": "patch"},
}
REFERENCE = "residual"


def scorers_with(over: Mapping[str, Any]) -> dict[str, Scorer]:
    """A scorer a rule, `over` under what makes the rule.

    Raises:
        BadInput: an unknown setting, or one that needs the training scans.
    """
    out = {}
    for name, own in RULES.items():
        config = validated(ScoringConfig, merged(over, own), what="scoring")
        if config.standardise:
            raise BadInput(
                "--set scoring.standardise: the mean and SD of training scans differ from rule to rule"
            )
        out[name] = make_scorer(config)
    if out["patch, search"].config.patch.search_mm == 0:
        raise BadInput("--set scoring.patch.search_mm=0: both patch rules would be without search")
    return out


def truth_of(entry: Entry, scan: Scan) -> NDArray[np.bool_] | None:
    """Where the lesions are; None where nobody outlined them."""
    if scan.lesions is not None:
        return scan.lesions
    return np.zeros(scan.grid.shape, bool) if entry.label == "healthy" else None


def add(counts: dict[str, VoxelCounts], run: Detector, scorers: Mapping[str, Scorer], swept: Swept) -> None:
    """Count the voxels of one more scan under every rule.

    Raises:
        BadInput: the method draws no healthy image.
    """
    scan, prepared = swept.scan, swept.prepared
    assert scan is not None and prepared is not None
    truth = truth_of(swept.entry, scan)
    if truth is None:
        return
    evidence = run.evidence(prepared, device=pick_device("auto"))
    if evidence.healthy is None:
        raise BadInput(f"{run.name}: its method {run.method.name!r} draws no healthy image")
    roi = roi_of(scan, prepared)
    for name, scorer in scorers.items():
        codes = encode(prepared.restore(scorer.map(evidence))[roi])
        inside = truth[roi]
        counts[name].add(swept.entry.subject, Counts.of(codes[inside]), Counts.of(codes[~inside]))


def counted(run: Detector, cohort: Cohort, scorers: Mapping[str, Scorer]) -> dict[str, VoxelCounts]:
    """By rule, the voxels of all scans; a scan that cannot be used is named on standard error.

    Raises:
        BadInput: no lesion to measure on.
    """
    counts = {name: VoxelCounts() for name in scorers}
    for swept in sweep(cohort, run.recipe):
        if swept.problem:
            print(swept.problem, file=sys.stderr)
        else:
            add(counts, run, scorers, swept)
    if not counts[REFERENCE].with_lesions:
        raise BadInput(f"{cohort.name}: no scan with outlined lesions; choose others with --where or --split")
    return counts


def value(counts: VoxelCounts) -> str:
    """Pooled AP with its interval; below 5 subjects there is none."""
    grouped, subjects = counts.grouped(), len(counts.subjects)
    found = Bootstrap().interval(lambda weights: average_precision(*grouped.at(weights)), subjects)
    return f"{ranking_of(counts)['ap']:.3f}" + (f" [{found[0]:.3f}, {found[1]:.3f}]" if found else "")


def difference(counts: VoxelCounts, reference: VoxelCounts) -> str:
    """What a rule's AP is above the reference's, the same subjects drawn for both."""
    pair: list[Grouped] = [one.grouped() for one in (reference, counts)]

    def of_weights(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        first, second = (average_precision(*one.at(weights)) for one in pair)
        return second - first

    gained = ranking_of(counts)["ap"] - ranking_of(reference)["ap"]
    found = Bootstrap().interval(of_weights, len(counts.subjects))
    return f"{gained:+.3f}" + (f" [{found[0]:+.3f}, {found[1]:+.3f}]" if found else "")


def tables(found: Mapping[str, Mapping[str, VoxelCounts]]) -> str:
    """Both tables in Markdown."""
    others = [name for name in RULES if name != REFERENCE]
    lines = [f"| voxel AP | {' | '.join(RULES)} |", "|---" * (len(RULES) + 1) + "|"]
    lines += [
        f"| {run} | {' | '.join(value(rules[name]) for name in RULES)} |" for run, rules in found.items()
    ]
    heads = [*(f"{name} minus {REFERENCE}" for name in others), "search minus no search"]
    lines += ["", f"| difference | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for run, rules in found.items():
        cells = [difference(rules[name], rules[REFERENCE]) for name in others]
        cells.append(difference(rules["patch, search"], rules["patch, no search"]))
        lines.append(f"| {run} | {' | '.join(cells)} |")
    for run, rules in found.items():
        counts = rules[REFERENCE]
        lines += ["", f"{run}: {len(counts.subjects)} subjects, {counts.with_lesions} with lesions."]
    return "\n".join(lines)


def main(words: list[str] | None = None) -> None:
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("manifest", type=Path, metavar="MANIFEST")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--where", action="append", default=[], metavar="COL=A,B")
    parser.add_argument("--split", default="test")
    parser.add_argument("--set", action="append", default=[], metavar="scoring.NAME=VALUE")
    given = parser.parse_args(separate_settings(sys.argv[1:] if words is None else words))
    try:
        rooms = parse_settings(given.set)
        if any(values for room, values in rooms.items() if room != "scoring"):
            raise BadInput("--set: only settings of scoring can be changed after training")
        scorers = scorers_with(nested(rooms["scoring"]))
        cohort = Cohort.open(given.manifest, where=given.where).select(split=given.split)
        found = {}
        for folder in given.runs:
            run = Detector.load(folder)
            found[run.name if run.name not in found else str(folder)] = counted(run, cohort, scorers)
    except BadInput as error:
        sys.exit(str(error))
    print(tables(found))


if __name__ == "__main__":
    main()
