"""The page of an evaluation, from its files alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unlesion.report.by_group import by_column
from unlesion.report.curves import RATES, precision_recall, realised_rates, score_strips
from unlesion.report.explain import INTERVALS, LESIONS_BY_SIZE, has_shared, metric_tables
from unlesion.report.files import read_rows, real
from unlesion.report.gallery import Gallery, Kind
from unlesion.report.numbers import interval_of, look_up, number, percent, plain, value_of
from unlesion.report.page import Budget, Group, group_of, scale_words, write_page
from unlesion.report.provenance import provenance_of, repeat_evaluation
from unlesion.report.words import (
    calibration_in_words,
    evaluation_verdict,
    image_auroc,
    p_short,
    subjects_apart,
)
from unlesion.wording import count

GALLERY_WORDS: dict[Kind, tuple[str, str]] = {
    "lesion": (
        "Typical scans with lesions",
        "Nearest the median Dice among scans drawn at random, not picked by eye.",
    ),
    "healthy": (
        "Typical healthy scans",
        "Nearest the median share of false alarms among scans drawn at random.",
    ),
    "best": ("Found best", "Highest Dice at the threshold. These are the exceptions, not the rule."),
    "miss": ("Missed most", "Scans in which the most lesion stays below the threshold."),
    "false_alarm": (
        "Most false alarms",
        "Most healthy tissue above the threshold, beside lesions or in healthy scans.",
    ),
}

# For scans in which nobody marked any lesion: these are chosen by their scores.
UNMARKED_WORDS: dict[Kind, tuple[str, str]] = {
    "lesion": ("Typical scans with lesions", "Nearest the median score; lesions are not annotated."),
    "best": (
        "Highest scores of scans with lesions",
        "Lesions are not annotated: whether they were found is unknown.",
    ),
    "miss": (
        "Lowest scores of scans with lesions",
        "Lesions are not annotated: whether they were found is unknown.",
    ),
}

# Without calibration there is no threshold: what was found is what lies above the middle of the scale, or what the maps' files say.
UNCALIBRATED_WORDS: dict[Kind, tuple[str, str]] = {
    "best": (
        "Found best",
        "Highest Dice of what is outlined as found. These are the exceptions, not the rule.",
    ),
    "miss": ("Missed most", "Scans in which the most lesion lies outside what is outlined as found."),
    "false_alarm": ("Most false alarms", "Most healthy tissue in what is outlined as found."),
}

TYPICAL = ("lesion", "healthy")

# Rows of scans.csv that a page shows; all are in the file.
MOST_ROWS = 400

COLUMNS = (
    "key",
    "subject",
    "label",
    "pathology",
    "score",
    "p_value",
    "flagged",
    "dice",
    "ap",
    "fpr",
    "lesion_ml",
    "lesion_mm2",
)


def write_evaluation_page(
    path: Path,
    *,
    metrics: Mapping[str, Any],
    rows: Sequence[Mapping[str, str]] = (),
    curves: Mapping[str, Any] | None = None,
    gallery: Gallery | None = None,
    run: Mapping[str, Any] | None = None,
    commands: Sequence[str] = (),
) -> Path:
    """Write the page of an evaluation.

    Args:
        path: the HTML file.
        metrics: as in `metrics.json`; whatever is missing is left out.
        rows: of `scans.csv`.
        curves: as in `curves.json`.
        gallery: the cases to show.
        run: as in the run's `detector.json`, for the data, the recipe and how to repeat.
        commands: commands that repeat all this, instead of those worked out from the records.
    """
    budget = Budget()
    groups: dict[Kind, Group] = {}
    for kind, (title, words) in GALLERY_WORDS.items():
        cases = [] if gallery is None else gallery.of(kind)
        if kind in UNMARKED_WORDS and cases and all(case.truth is None for case in cases):
            title, words = UNMARKED_WORDS[kind]
        elif gallery is not None and not gallery.calibrated and kind in UNCALIBRATED_WORDS:
            title, words = UNCALIBRATED_WORDS[kind]
        group = group_of(title, words, cases, budget)
        if group is not None:
            groups[kind] = group
    return write_page(
        path,
        "evaluation.html.j2",
        title=f"Evaluation{_of(metrics)}",
        subtitle=_subtitle(metrics),
        verdict=evaluation_verdict(metrics),
        headline=_headline(metrics),
        warnings=_warnings(metrics),
        tables=metric_tables(metrics),
        shared=has_shared(metrics),
        intervals=INTERVALS,
        rates=_rates(metrics),
        figures=_figures(metrics, rows, curves or {}),
        groupings=by_column(metrics),
        sizes=_by_size(metrics),
        typical=[group for kind, group in groups.items() if kind in TYPICAL],
        extremes=[group for kind, group in groups.items() if kind not in TYPICAL],
        scale=scale_words(gallery),
        calibration=calibration_in_words(
            look_up(metrics, "calibration.native.subjects"),
            subjects_apart(metrics, "subjects"),
        ),
        columns=[c for c in COLUMNS if any(row.get(c) for row in rows)],
        scans=[_scan(row) for row in _most_unusual_first(rows)[:MOST_ROWS]],
        more_scans=max(0, len(rows) - MOST_ROWS),
        provenance=provenance_of(metrics, run or {}),
        commands=list(commands) or repeat_evaluation(metrics, path.parent),
    )


def evaluation_files(folder: Path) -> dict[str, Any]:
    """What `write_evaluation_page` needs, as found in an evaluation's folder."""
    from unlesion.files import read_json

    metrics = read_json(folder / "metrics.json")
    run = folder / "run" / "detector.json"
    return {
        "metrics": metrics if isinstance(metrics, dict) else {},
        "rows": read_rows(folder / "scans.csv"),
        "curves": read_json(folder / "curves.json") if (folder / "curves.json").exists() else {},
        "gallery": Gallery.load(folder / "gallery")
        if (folder / "gallery" / "gallery.json").exists()
        else None,
        "run": read_json(run) if run.exists() else None,
    }


def _by_size(metrics: Mapping[str, Any]) -> list[dict[str, str]]:
    """A row for each size of lesions."""
    found = look_up(metrics, LESIONS_BY_SIZE)
    return [
        {
            "size": name,
            "found": f"{metric['found']} of {metric['lesions']}",
            "recall": number(metric["value"]),
            "ci": f"{number(metric['ci'][0])} to {number(metric['ci'][1])}" if metric.get("ci") else "",
        }
        for name, metric in (found if isinstance(found, dict) else {}).items()
    ]


def _of(metrics: Mapping[str, Any]) -> str:
    method, cohort = look_up(metrics, "record.method"), look_up(metrics, "cohort.name")
    return (f" of {method}" if method else "") + (f" on {cohort}" if cohort else "")


def _subtitle(metrics: Mapping[str, Any]) -> str:
    words = []
    # Adjectives are the same for one and for many.
    names = {
        "subjects": ("subject", "subjects"),
        "scans": ("scan", "scans"),
        "healthy": ("healthy", "healthy"),
        "anomalous": ("with lesions", "with lesions"),
        "lesions": ("lesion", "lesions"),
    }
    for name, (one, many) in names.items():
        value = value_of(metrics, f"n.{name}")
        if value is not None:
            # "0 lesions" would read as a finding.
            unmarked = name == "lesions" and value == 0 and value_of(metrics, "n.anomalous")
            words.append("lesions not annotated" if unmarked else count(int(value), one, many))
    sign = metrics.get("sign")
    looking = {
        "both": "looks for brighter and darker",
        "bright": "looks for brighter only",
        "dark": "looks for darker only",
    }
    if isinstance(sign, str):
        words.append(looking.get(sign, f"sign: {sign}"))
    split = look_up(metrics, "cohort.split")
    if split:
        words.append(f"split {split}")
    return " · ".join(words)


def _headline(metrics: Mapping[str, Any]) -> list[dict[str, str]]:
    """The four numbers that one looks for first."""
    place = image_auroc(metrics)
    within = place != "image.auroc"
    wanted = (
        ("voxel.ap", "voxel AP", "guessing: " + plain(value_of(metrics, "voxel.prevalence"))),
        ("voxel.dice_at_fpr.fpr_001", "Dice", "at the 1 % threshold"),
        ("realised_fpr.fpr_001", "healthy voxels above threshold", "meant: 1 %"),
        (place, "image AUROC", "within modalities; chance: 0.5" if within else "chance: 0.5"),
    )
    shown = []
    for place, name, against in wanted:
        value, ends = value_of(metrics, place), interval_of(metrics, place)
        if value is None:
            continue
        write = percent if place.startswith("realised") else plain
        shown.append(
            {
                "name": name,
                "value": write(value),
                "ci": "" if ends is None else f"{write(ends[0])} to {write(ends[1])}",
                "against": against,
            }
        )
    return shown


def _rates(metrics: Mapping[str, Any]) -> list[dict[str, str]]:
    rows = []
    for name, meant in RATES.items():
        threshold = _threshold(metrics, "native", name)
        value, ends = value_of(metrics, f"realised_fpr.{name}"), interval_of(metrics, f"realised_fpr.{name}")
        if threshold is None and value is None:
            continue
        rows.append(
            {
                "meant": percent(meant),
                "threshold": plain(threshold) if isinstance(threshold, int | float) else "–",
                "realised": percent(value) + (f" [{percent(ends[0])}, {percent(ends[1])}]" if ends else ""),
                "dice": number(metrics, f"voxel.dice_at_fpr.{name}"),
            }
        )
    return rows


def _threshold(metrics: Mapping[str, Any], scoring: str, rate: str) -> Any:
    """The threshold of all scans; None where every modality had its own."""
    calibration = look_up(metrics, f"calibration.{scoring}") or {}
    return None if calibration.get("parts") else look_up(calibration, f"thresholds.{rate}")


def _figures(
    metrics: Mapping[str, Any], rows: Sequence[Mapping[str, str]], curves: Mapping[str, Any]
) -> list[dict[str, str]]:
    by_label: dict[str, list[float]] = {"healthy": [], "anomalous": []}
    for row in rows:
        score = real(row.get("score"))
        if score is not None and row.get("label") in by_label:
            by_label[row["label"]].append(score)
    marks = {}
    for scoring in ("native", "shared"):
        threshold = _threshold(metrics, scoring, "fpr_001")
        if isinstance(threshold, int | float):
            marks[scoring] = float(threshold)
    made = (
        (
            "Precision and recall of voxels",
            "The dot is the threshold from healthy scans; the dotted line is what guessing reaches.",
            precision_recall(curves, prevalence=value_of(metrics, "voxel.prevalence"), marks=marks),
        ),
        (
            "Do the thresholds hold?",
            "On the dotted line, as many healthy test voxels exceed the threshold as were meant to.",
            realised_rates(metrics),
        ),
        (
            "Scan scores",
            "A dot is a scan; the bars are medians." + _flagged_at(metrics),
            score_strips(by_label["healthy"], by_label["anomalous"], threshold=_flagged_beyond(rows)),
        ),
    )
    return [{"title": title, "words": words, "image": image} for title, words, image in made if image]


def _flagged_at(metrics: Mapping[str, Any]) -> str:
    alphas = {look_up(metrics, f"image.flagged.{label}.alpha") for label in ("healthy", "anomalous")}
    known = sorted(alpha for alpha in alphas if isinstance(alpha, int | float))
    return f" Flagged: a p-value of at most {known[0]:g}." if known else ""


def _flagged_beyond(rows: Sequence[Mapping[str, str]]) -> float | None:
    """Between the highest score that is not flagged and the lowest that is."""
    flagged = [real(row.get("score")) for row in rows if row.get("flagged") == "True"]
    others = [real(row.get("score")) for row in rows if row.get("flagged") == "False"]
    low = min((v for v in flagged if v is not None), default=None)
    high = max((v for v in others if v is not None), default=None)
    return None if low is None or high is None or high > low else (low + high) / 2


def _warnings(metrics: Mapping[str, Any]) -> list[str]:
    found = [str(words) for words in metrics.get("warnings") or []]
    if not look_up(metrics, "calibration.native"):
        found.append("The maps are not calibrated on healthy scans: there are no thresholds and no p-values.")
    if value_of(metrics, "n.healthy") == 0:
        found.append(
            "There is no healthy scan among them: how often healthy tissue is flagged remains unknown."
        )
    if value_of(metrics, "n.anomalous") == 0:
        found.append("There is no scan with lesions among them: nothing is said about finding any.")
    subjects = value_of(metrics, "n.subjects")
    if subjects is not None and subjects < 5:
        found.append(
            "Fewer than 5 subjects: there are no intervals, and nothing can be claimed beyond these scans."
        )
    return found


def _most_unusual_first(rows: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
    return sorted(rows, key=lambda row: -(real(row.get("score")) or 0.0))


def _scan(row: Mapping[str, str]) -> dict[str, str]:
    shown = {}
    for column in COLUMNS:
        text, value = row.get(column) or "", real(row.get(column))
        if column == "p_value" and value is not None:
            text = p_short(value)
        elif column == "fpr" and value is not None:
            text = percent(value)
        elif column in ("score", "dice", "ap", "lesion_ml", "lesion_mm2") and value is not None:
            text = plain(value)
        elif column == "flagged":
            text = {"True": "yes", "False": "no"}.get(text, text)
        shown[column] = text
    return shown
