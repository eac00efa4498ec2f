"""The page of a run: what was learnt from what, and what its calibration allows one to say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unlesion.report.curves import RATES, score_strips, training_history
from unlesion.report.files import read_rows
from unlesion.report.gallery import Gallery
from unlesion.report.numbers import look_up, percent, plain
from unlesion.report.page import Budget, group_of, scale_words, write_page
from unlesion.report.provenance import repeat_run, settings_in_words, steps_in_words
from unlesion.report.words import calibration_in_words, subjects_apart
from unlesion.wording import count


def write_run_page(
    path: Path,
    *,
    run: Mapping[str, Any],
    history: Sequence[Mapping[str, str]] = (),
    gallery: Gallery | None = None,
    name: str = "",
) -> Path:
    """Write the page of a run.

    Args:
        path: the HTML file.
        run: as in `detector.json`.
        history: rows of `history.csv`.
        gallery: held-out healthy scans as the run sees them.
        name: of the run.
    """
    budget = Budget()
    method, record = run.get("method") or {}, run.get("record") or {}
    groups = []
    if gallery is not None:
        title = "Healthy scans that nothing was learnt from"
        words = "Maps should stay dark and the pseudo-healthy image should look like the scan."
        group = group_of(title, words, gallery.cases, budget)
        groups = [group] if group is not None else []
    curve = training_history(history)
    return write_page(
        path,
        "run.html.j2",
        title=(f"Run “{name}”" if name else "Run") + (f": {method['name']}" if method.get("name") else ""),
        subtitle=_subtitle(run),
        verdict=_verdict(run),
        warnings=_warnings(run),
        calibration=calibration_in_words(_subjects(run), subjects_apart(run)),
        rates=_rates(run),
        apart=bool(subjects_apart(run)),
        scores=score_strips(_scores(run), []),
        history=curve,
        groups=groups,
        scale=scale_words(gallery),
        citation=str(method.get("citation") or ""),
        deviations=[str(line) for line in method.get("deviations") or []],
        learnt=_learnt(run),
        settings=_settings(run),
        commands=_commands(record, path.parent),
    )


def run_files(folder: Path) -> dict[str, Any]:
    """What `write_run_page` needs, as found in a run's folder."""
    from unlesion.files import read_json

    run = read_json(folder / "detector.json")
    return {
        "run": run if isinstance(run, dict) else {},
        "history": read_rows(folder / "history.csv"),
        "gallery": Gallery.load(folder / "gallery")
        if (folder / "gallery" / "gallery.json").exists()
        else None,
        "name": folder.resolve().name,
    }


def _subtitle(run: Mapping[str, Any]) -> str:
    record = run.get("record") or {}
    parts = [
        f"preset {record['preset']}" if record.get("preset") else "",
        f"recipe {look_up(run, 'recipe.name')}" if look_up(run, "recipe.name") else "",
        f"{look_up(run, 'input.size')} px" if look_up(run, "input.size") else "",
        f"seed {run['seed']}" if run.get("seed") is not None else "",
        f"unlesion {run['unlesion']}" if run.get("unlesion") else "",
    ]
    return " · ".join(part for part in parts if part)


def _verdict(run: Mapping[str, Any]) -> str:
    record = run.get("record") or {}
    subjects, scans, slices = (record.get(k) for k in ("healthy_subjects", "healthy_scans", "slices"))
    if not subjects:
        return "What this run learnt from is not recorded."
    words = f"Learnt what healthy looks like from {count(int(subjects), 'healthy subject')}"
    if scans and scans != subjects:
        words += f", {count(int(scans), 'scan')}"
    if slices and slices != scans:
        words += f", {count(int(slices), 'slice')}"
    if record.get("cohort_name"):
        words += f" of {record['cohort_name']}"
    held_out = _subjects(run)
    if held_out:
        other = look_up(run, "record.calibrated_on.name")
        words += f", and what is unusual from {count(held_out, 'healthy subject')} {f'of {other}' if other else 'held out'}"
    return words + ". It was given no scan that is labelled as having lesions."


def _subjects(run: Mapping[str, Any]) -> int | None:
    found = look_up(run, "calibration.native.n_subjects")
    return int(found) if isinstance(found, int | float) else None


def _scores(run: Mapping[str, Any]) -> list[float]:
    groups = look_up(run, "calibration.native.scores") or []
    return [float(score) for group in groups for score in group]


def _warnings(run: Mapping[str, Any]) -> list[str]:
    record = run.get("record") or {}
    found = [str(words) for words in record.get("warnings") or []]
    for where in ("calibration_warnings", "calibrated_on.warnings"):
        found += [str(words) for words in look_up(record, where) or []]
    left_out = record.get("left_out")
    if isinstance(left_out, int) and left_out:
        found.append(f"{count(left_out, 'scan')} could not be used; unlesion.log says why.")
    subjects = record.get("healthy_subjects")
    if isinstance(subjects, int) and subjects < 10:
        found.append(
            f"{count(subjects, 'healthy subject')} to learn from: much that is healthy was never seen."
        )
    held_out = min(subjects_apart(run).values(), default=_subjects(run))
    if held_out is None:
        found.append(calibration_in_words(None))
    elif held_out < 10:
        found.append(
            f"{count(held_out, 'healthy subject')} to calibrate on: thresholds may be off, "
            "and hardly anything can be called unusual."
        )
    return found


def _rates(run: Mapping[str, Any]) -> list[dict[str, str]]:
    rows = []
    for name, meant in RATES.items():
        if look_up(run, f"calibration.native.thresholds.{name}") is not None:
            native, shared = (_threshold(run, scoring, name) for scoring in ("native", "shared"))
            rows.append({"meant": percent(meant), "native": native, "shared": shared})
    return rows


def _threshold(run: Mapping[str, Any], scoring: str, rate: str) -> str:
    """The threshold of a scoring, or that of each modality."""
    parts = look_up(run, f"calibration.{scoring}.parts")
    if not parts:
        return plain(look_up(run, f"calibration.{scoring}.thresholds.{rate}"))
    return ", ".join(f"{name} {plain(part['thresholds'][rate])}" for name, part in parts.items())


def _learnt(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    record = run.get("record") or {}
    minutes, seconds = record.get("minutes"), record.get("fit_seconds")
    speed = record.get("images_per_second")
    pairs = [
        ("cohort", record.get("cohort_name")),
        ("its digest", record.get("cohort")),
        ("budget", count(minutes, "minute") if isinstance(minutes, int | float) else None),
        ("time spent learning", f"{seconds / 60:.1f} minutes" if isinstance(seconds, int | float) else None),
        ("steps", steps_in_words(record.get("steps"))),
        ("images per second", plain(speed) if isinstance(speed, int | float) else None),
        ("device", " ".join(str(v) for v in (record.get("device"), record.get("precision")) if v)),
        ("calibrated on", look_up(run, "record.calibrated_on.name")),
    ]
    return [(name, str(value)) for name, value in pairs if value not in (None, "")]


def _settings(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    scoring = run.get("scoring") or {}
    modalities = [m for m in look_up(run, "input.modalities") or [] if m]
    # Several that were learnt together, one a scan, say more than the channels of one of the scans.
    conditions = look_up(run, "input.conditions") or []
    modalities = conditions if len(conditions) > 1 else modalities
    pairs = [
        ("modality", ", ".join(modalities)),
        ("method", settings_in_words(look_up(run, "method.config"))),
        ("training", settings_in_words(look_up(run, "record.training"))),
        *((f"scoring, {name}", settings_in_words(config)) for name, config in scoring.items()),
        ("recipe", settings_in_words(run.get("recipe"))),
        ("versions", settings_in_words(look_up(run, "record.versions"))),
    ]
    return [(name, value) for name, value in pairs if value]


def _commands(record: Mapping[str, Any], folder: Path) -> list[str]:
    return repeat_run(record, folder.resolve().name)
