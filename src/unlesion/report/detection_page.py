"""The page of a detection: every scan, most unusual first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from unlesion.errors import BadInput
from unlesion.files import read_json
from unlesion.report.curves import score_strips
from unlesion.report.files import read_rows, real
from unlesion.report.numbers import look_up, plain
from unlesion.report.page import Budget, write_page
from unlesion.report.tiles import data_uri
from unlesion.report.words import calibration_in_words, p_in_words, p_short, subjects_apart
from unlesion.wording import count

# A table of more rows than this is read in scores.csv.
MOST_ROWS = 2000
# Scans that could not be used, and such without a picture whose warnings are written out.
MOST_LISTED = 300


@dataclass(frozen=True)
class Found:
    """A scan as the page shows it."""

    key: str
    anchor: str
    score: str
    p: str
    words: str
    flagged: str
    volume: str
    components: str
    warnings: list[str]
    preview: str
    link: str


class _Pictures:
    """Takes in pictures in the order of the table until the first that does not fit."""

    def __init__(self, budget: Budget) -> None:
        self._budget, self._full = budget, False

    def address(self, place: Path) -> str:
        """The picture as an address; "" where the page is full."""
        # Four characters for three bytes: what cannot fit is not read.
        if not self._full and place.stat().st_size * 4 / 3 <= self._budget.left:
            address = data_uri(place.read_bytes())
            if self._budget.take(address):
                return address
        self._full = True
        return ""


def write_detection_page(
    path: Path,
    *,
    rows: Sequence[Mapping[str, str]],
    folder: Path | None = None,
    run: Mapping[str, Any] | None = None,
    run_name: str = "",
    recipe: str = "",
    several_runs: Sequence[str] = (),
) -> Path:
    """Write the page of a detection.

    Args:
        path: the HTML file.
        rows: of `scores.csv`.
        folder: with KEY/preview.png for every scan; by default the page's own.
        run: as in the run's `detector.json`, for the number of healthy subjects behind the p-values.
        run_name: of the run.
        recipe: digest of its recipe.
        several_runs: the runs that found what the rows say, where there are several.
    """
    folder = folder or path.parent
    # Of several runs, each has a calibration of its own.
    run = {} if several_runs else run
    subjects = look_up(run or {}, "calibration.native.n_subjects")
    subjects = int(subjects) if isinstance(subjects, int | float) else None
    apart = subjects_apart(run or {})
    # Without calibration the verdict says so.
    calibration = calibration_in_words(subjects, apart) if subjects or apart else ""
    # With several modalities, that of a row is not known here, and so not how many its p-value rests on.
    subjects = None if apart else subjects
    good = sorted((r for r in rows if not r.get("problem")), key=_unusual)
    bad = [(row.get("key") or "", row["problem"]) for row in rows if row.get("problem")]
    budget = _Pictures(Budget())
    found = [_found(number, row, folder, subjects, budget) for number, row in enumerate(good[:MOST_ROWS])]
    unseen = [item for item in found if item.warnings and not item.preview]
    scores = [(real(row.get("score")), row.get("label")) for row in good]
    ill = [s for s, label in scores if s is not None and label == "anomalous"]
    others = [s for s, label in scores if s is not None and label == "healthy"]
    method = look_up(run or {}, "method.name")
    return write_page(
        path,
        "detection.html.j2",
        title="Detection" + (f" with {method}" if method else ""),
        subtitle=f"{count(len(good), 'scan')}" + (f", {len(bad)} could not be used" if bad else ""),
        verdict=_verdict(good, subjects),
        calibration=calibration,
        found=found,
        shown=[item for item in found if item.preview],
        unseen=unseen[:MOST_LISTED],
        unseen_more=len(unseen) - len(unseen[:MOST_LISTED]),
        more=len(good) - len(found),
        rates=_rates(good),
        has_warnings=any(item.warnings for item in found),
        bad=bad[:MOST_LISTED],
        bad_more=len(bad) - len(bad[:MOST_LISTED]),
        several_runs=several_runs,
        scores=score_strips(others, ill) if ill and others else None,
        pairs=[(k, v) for k, v in (("run", run_name), ("recipe", recipe)) if v],
    )


def detection_files(folder: Path) -> dict[str, Any]:
    """What `write_detection_page` needs, as found in the output of `detect`."""
    rows = read_rows(folder / "scores.csv")
    first: Mapping[str, Any] = {}
    runs: dict[str, None] = {}
    for row in rows:
        inside = folder / (row.get("key") or "") / "detection.json"
        if row.get("key") and not row.get("problem") and inside.exists():
            said = read_json(inside)
            said = said if isinstance(said, dict) else {}
            first = first or said
            runs[str(said.get("run") or "")] = None
    run_name = str(first.get("run") or "")
    run = None
    try:
        run = read_json(Path(run_name) / "detector.json") if run_name else None
    except BadInput:
        # The run has moved: the page does without the number of subjects.
        run = None
    return {
        "rows": rows,
        "folder": folder,
        "run": run if isinstance(run, dict) else None,
        "run_name": run_name,
        "recipe": str(first.get("recipe") or ""),
        "several_runs": tuple(runs) if len(runs) > 1 else (),
    }


def _found(
    number: int, row: Mapping[str, str], folder: Path, subjects: int | None, pictures: _Pictures
) -> Found:
    key, p = row.get("key") or "", real(row.get("p_value"))
    place = folder / key / "preview.png"
    preview = link = ""
    # Keys come from a file: never read a picture from outside the folder.
    if place.is_file() and place.resolve().is_relative_to(folder.resolve()):
        link = quote(f"{key}/preview.png")
        preview = pictures.address(place)
    return Found(
        key=key,
        anchor=f"scan-{number}",
        score=plain(real(row.get("score"))),
        p="–" if p is None else p_short(p),
        words=p_in_words(p, subjects).removesuffix(f" (compared with {subjects})"),
        flagged={"True": "yes", "False": "no"}.get(row.get("flagged") or "", "–"),
        volume=_size(row),
        components=row.get("components") or "–",
        warnings=_warnings(row, folder),
        preview=preview,
        link=link,
    )


def _warnings(row: Mapping[str, str], folder: Path) -> list[str]:
    """A scan's warnings, each whole: the table joins them by what may also stand inside one."""
    joined = row.get("warnings") or ""
    place = folder / (row.get("key") or "") / "detection.json"
    if joined and place.is_file() and place.resolve().is_relative_to(folder.resolve()):
        found = read_json(place)
        listed = found.get("warnings") if isinstance(found, dict) else None
        if isinstance(listed, list) and listed:
            return [str(words) for words in listed]
    return [joined] if joined else []


def _size(row: Mapping[str, str]) -> str:
    """Volume of what was found, or its area in a single slice."""
    for column, unit in (("volume_ml", "ml"), ("area_mm2", "mm²")):
        value = real(row.get(column))
        if value is not None:
            return f"{plain(value)}\u00a0{unit}"
    return "–"


def _rates(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Shares of healthy voxels meant to exceed the thresholds of the rows; several where calls asked for several."""
    found = {real(row.get("rate")) for row in rows}
    return [f"{100 * rate:g}\u00a0%" for rate in sorted(rate for rate in found if rate is not None)]


def _unusual(row: Mapping[str, str]) -> tuple[float, float, str]:
    p, score = real(row.get("p_value")), real(row.get("score"))
    return (2.0 if p is None else p, -(score if score is not None else 0.0), row.get("key") or "")


def _verdict(rows: Sequence[Mapping[str, str]], subjects: int | None) -> str:
    if not rows:
        return "No scan could be used."
    judged = [row for row in rows if row.get("flagged") in ("True", "False")]
    flags = [row["flagged"] for row in judged]
    alpha = real(judged[0].get("alpha")) if judged else None
    if all(real(row.get("threshold")) is None and real(row.get("p_value")) is None for row in rows):
        return f"{count(len(rows), 'scan')}. {calibration_in_words(None)}"
    if not flags or alpha is None:
        return f"{count(len(rows), 'scan')}, none of which can be flagged: the calibration does not allow it."
    flagged = flags.count("True")
    # Rows of earlier calls stay, which may have asked at another alpha.
    alphas = [real(row.get("alpha")) or 0.0 for row in judged]
    expected = sum(alphas)
    asked = " and ".join(f"{one:g}" for one in sorted(set(alphas)))
    return (
        f"{flagged} of {count(len(flags), 'scan')} flagged at {asked}. If all were healthy, at most "
        f"{_rounded_up(expected)} would be on average. Most unusual: "
        f"{rows[0].get('key')}; {p_in_words(real(rows[0].get('p_value')), subjects)}."
        + (
            f" {count(len(rows) - len(judged), 'other scan')} could not be judged."
            if len(judged) < len(rows)
            else ""
        )
    )


def _rounded_up(expected: float) -> str:
    """A number that "at most" stays true of."""
    if expected >= 10:
        return f"{math.ceil(expected - 1e-9)}"
    return f"{math.ceil(100 * expected - 1e-9) / 100:g}"
