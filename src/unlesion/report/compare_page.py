"""The page of a comparison: paired differences with their intervals, and the scans that all evaluations show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from unlesion.errors import BadInput
from unlesion.report.bench_page import SAME_SCANS
from unlesion.report.bench_pictures import pictures_of
from unlesion.report.curves import intervals
from unlesion.report.explain import GROUPS
from unlesion.report.files import real
from unlesion.report.gallery import Gallery
from unlesion.report.numbers import plain
from unlesion.report.page import Budget, write_page
from unlesion.report.words import p_short
from unlesion.wording import count

# In the output of `compare`: the cases that all evaluations show.
PICTURES = "pictures"

# Scans side by side that a page shows at most.
MOST_SCANS = 6

# Sentences at the head of a page; of more pairs the figures say it better.
MOST_VERDICTS = 3

NAMES = {
    **{
        meaning.place: (f"{meaning.name} ({group.lower()})", meaning.words)
        for group, meanings in GROUPS
        for meaning in meanings
    },
    # Elsewhere its words go on from those of other thresholds.
    "voxel.dice_at_fpr.fpr_001": (
        "Dice at 1 % (voxels)",
        "Overlap at the threshold from healthy scans which 1 % of healthy voxels exceed.",
    ),
}


def write_compare_page(
    path: Path,
    *,
    comparisons: Sequence[Mapping[str, Any]],
    galleries: Sequence[tuple[str, Gallery]] = (),
    picked: bool = True,
) -> Path:
    """Write the page of a comparison.

    Args:
        path: the HTML file.
        comparisons: as in `compare.json`.
        galleries: names of the evaluations, and what they made of the same scans.
        picked: whether these cases were chosen by looking at maps.

    Returns:
        `path`.
    """
    scorings = list(dict.fromkeys(str(pair.get("scoring") or "native") for pair in comparisons))
    grouped = any(pair.get("group") for pair in comparisons)
    return write_page(
        path,
        "compare.html.j2",
        title="Comparison",
        subtitle=f"{count(len(comparisons), 'comparison')} of the same scans · {', '.join(scorings)} scoring",
        verdicts=[] if grouped else [_verdict(pair) for pair in comparisons[:MOST_VERDICTS]],
        warnings=_warnings(comparisons),
        figures=_figures(comparisons),
        tables=[_table(pair) for pair in comparisons],
        meanings=[(NAMES[name][0], NAMES[name][1]) for name in _metrics(comparisons) if name in NAMES],
        pictures=pictures_of(galleries, Budget()) if galleries else None,
        picked=picked,
    )


def compare_files(folder: Path) -> dict[str, Any]:
    """What `write_compare_page` needs, as found in the output of `compare`.

    Raises:
        BadInput: `compare.json` is damaged.
    """
    from unlesion.files import read_json

    place = folder / "compare.json"
    try:
        comparisons = [
            {
                **pair,
                "first": str(pair["first"]),
                "second": str(pair["second"]),
                "subjects": int(pair["subjects"]),
            }
            for pair in read_json(place)["comparisons"]
            if isinstance(pair["differences"], dict)
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{place}: damaged ({error}); compare again") from error
    found: dict[str, Any] = {"comparisons": comparisons}
    if (folder / PICTURES / "names.json").exists():
        # Damaged pictures cost the page nothing but themselves.
        with suppress(BadInput, KeyError, TypeError):
            words = read_json(folder / PICTURES / "names.json")
            names = [str(name) for name in words["names"]]
            shown = [(name, Gallery.load(folder / PICTURES / str(n))) for n, name in enumerate(names)]
            found |= {"galleries": shown, "picked": bool(words["picked"])}
    return found


def keep_pictures(named: Sequence[tuple[str, Path]], out: Path) -> None:
    """Copy the cases that all evaluations show into the output of `compare`, so that its page needs nothing else.

    Of evaluations of a benchmark that are the same scans; of others those of their pages, as far as they show the same slices.

    Args:
        named: what the evaluations are called, and their folders.
        out: output of `compare`.

    Raises:
        BadInput: it cannot be written.
    """
    from unlesion.files import whole_folder, write_json

    same: list[Gallery] = []
    picked = False
    for shown in (SAME_SCANS, "gallery"):
        if not same and all((folder / shown / "gallery.json").exists() for _, folder in named):
            with suppress(BadInput):
                same = _alike([Gallery.load(folder / shown) for _, folder in named])
                picked = shown != SAME_SCANS
    with whole_folder(out / PICTURES) as new:
        if same:
            for number, gallery in enumerate(same):
                gallery.save(new / str(number))
            write_json(new / "names.json", {"names": [name for name, _ in named], "picked": picked})


def _alike(galleries: Sequence[Gallery]) -> list[Gallery]:
    """The galleries with no cases but those that all have; none if there are none."""
    cases = [{case.key: case for case in gallery.cases} for gallery in galleries]
    keys = [
        key
        for key, case in cases[0].items()
        # Of a volume each method may show another slice.
        if all(key in others and np.array_equal(others[key].image, case.image) for others in cases[1:])
    ][:MOST_SCANS]
    if not keys:
        return []
    return [
        replace(gallery, cases=tuple(own[key] for key in keys))
        for gallery, own in zip(galleries, cases, strict=True)
    ]


def _metrics(comparisons: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for pair in comparisons for name in pair["differences"]))


def _name(metric: str) -> str:
    return NAMES[metric][0] if metric in NAMES else metric


def _pair(pair: Mapping[str, Any]) -> str:
    return f"{pair['second']} minus {pair['first']}"


def _ends(found: Mapping[str, Any]) -> tuple[float, float] | None:
    ends = found.get("ci")
    return (float(ends[0]), float(ends[1])) if ends else None


def _figures(comparisons: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """One pair: its metrics in one figure. Several pairs or groups: a figure a metric."""
    if len(comparisons) == 1:
        rows = _rows((_name(name), found) for name, found in comparisons[0]["differences"].items())
        image = intervals(rows, label=_pair(comparisons[0]), reference=0.0)
        return [{"title": _pair(comparisons[0]), "image": image}] if image else []
    figures = []
    for name in _metrics(comparisons):
        rows = _rows((_row_name(pair), pair["differences"].get(name) or {}) for pair in comparisons)
        image = intervals(rows, label=f"difference in {_name(name)}", reference=0.0)
        if image:
            figures.append({"title": _name(name), "image": image})
    return figures


def _row_name(pair: Mapping[str, Any]) -> str:
    return f"{_pair(pair)}, {pair['group']}" if pair.get("group") else _pair(pair)


def _rows(
    named: Iterable[tuple[str, Mapping[str, Any]]],
) -> list[tuple[str, float, tuple[float, float] | None]]:
    return [
        (name, float(found["value"]), _ends(found))
        for name, found in named
        if real(found.get("value")) is not None
    ]


def _verdict(pair: Mapping[str, Any]) -> str:
    """What the first metric that has an interval says, in a sentence."""
    for name, found in pair["differences"].items():
        value, ends = real(found.get("value")), _ends(found)
        if value is None or ends is None:
            continue
        said = f"{_signed(value)} [{_signed(ends[0])}, {_signed(ends[1])}] ({count(pair['subjects'], 'subject')})."
        if ends[0] <= 0 <= ends[1]:
            return f"In {_name(name)}, {pair['second']} and {pair['first']} cannot be told apart: {said}"
        better, worse = (pair["second"], pair["first"]) if value > 0 else (pair["first"], pair["second"])
        return f"In {_name(name)}, {better} is ahead of {worse}: {_pair(pair)} is {said}"
    return f"{_pair(pair)}: no difference has an interval; {count(pair['subjects'], 'subject')} cannot say which is better."


def _warnings(comparisons: Sequence[Mapping[str, Any]]) -> list[str]:
    found = []
    if len(comparisons) > 1:
        found.append(
            f"Intervals and p-values are not corrected for there being {len(comparisons)} comparisons: of many, some differ by chance."
        )
    fewest = min((pair["subjects"] for pair in comparisons), default=0)
    if fewest < 5:
        found.append(f"Where fewer than 5 subjects are compared (fewest: {fewest}), there are no intervals.")
    return found


def _table(pair: Mapping[str, Any]) -> dict[str, Any]:
    rows = []
    for name, found in pair["differences"].items():
        value, ends, p = real(found.get("value")), _ends(found), real(found.get("p_value"))
        rows.append(
            {
                "metric": _name(name),
                "first": plain(real(found.get("first"))),
                "second": plain(real(found.get("second"))),
                "difference": "–" if value is None else _signed(value),
                "ci": "" if ends is None else f"{_signed(ends[0])} to {_signed(ends[1])}",
                "p": "" if p is None else p_short(p),
                "why": str(found.get("why") or ""),
            }
        )
    group = f", {pair.get('by')} {pair['group']}" if pair.get("group") else ""
    return {
        "title": f"{_pair(pair)}{group}",
        "words": f"{count(pair['subjects'], 'subject')}, {pair.get('scoring') or 'native'} scoring",
        "first": pair["first"],
        "second": pair["second"],
        "rows": rows,
    }


def _signed(value: float) -> str:
    return f"{value:+.3f}"
