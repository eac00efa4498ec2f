"""Where the numbers of a page come from, and how to make them again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unlesion.report.numbers import look_up
from unlesion.scans.datasets import is_dataset


def provenance_of(metrics: Mapping[str, Any], run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Data, digests, settings and versions behind an evaluation, as far as its files say."""
    record = {**(run.get("record") or {}), **(metrics.get("record") or {})}
    recipe = run.get("recipe") or {}
    scoring = metrics.get("scoring") or {}
    pairs = [
        ("cohort", look_up(metrics, "cohort.name")),
        ("its digest", look_up(metrics, "cohort.digest")),
        ("what was evaluated", look_up(metrics, "cohort.evaluated")),
        ("method", record.get("method")),
        ("preset", record.get("preset")),
        ("learnt from", record.get("cohort_name")),
        ("its digest ", record.get("cohort") if isinstance(record.get("cohort"), str) else None),
        ("healthy subjects learnt from", record.get("healthy_subjects")),
        ("seed", record.get("seed")),
        ("steps", steps_in_words(record.get("steps"))),
        (
            "recipe",
            " ".join(str(v) for v in (recipe.get("name"), recipe.get("digest") or record.get("recipe")) if v),
        ),
        *((f"scoring, {name}", settings_in_words(config)) for name, config in scoring.items()),
        ("versions", settings_in_words(record.get("versions"))),
    ]
    return [(name.strip(), str(value)) for name, value in pairs if value not in (None, "")]


def steps_in_words(steps: Any) -> str:
    """Steps per stage: "encoder 900, decoder 400"."""
    return ", ".join(f"{k} {v}" for k, v in steps.items()) if isinstance(steps, Mapping) else str(steps or "")


def settings_in_words(values: Any, prefix: str = "") -> str:
    """Nested settings in a line."""
    if not isinstance(values, Mapping):
        return str(values or "")
    parts = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            parts.append(settings_in_words(value, f"{prefix}{name}."))
        elif value is not None:
            parts.append(f"{prefix}{name} {value}")
    return ", ".join(part for part in parts if part)


def repeat_run(record: Mapping[str, Any], out: str) -> list[str]:
    """The commands that make a run again: its training, and its calibration where that came after."""
    repeat = record.get("repeat")
    if not repeat:
        return []
    learnt = _source("COHORT", repeat, record.get("cohort_name"))
    after = record.get("calibrated_on")
    if not after:
        return [f"unlesion train {learnt} {repeat} --out {shlex.quote(out)}"]
    healthy = _source("HEALTHY", after.get("repeat"), after.get("name"))
    words = " ".join([healthy, *([after["repeat"]] if after.get("repeat") else [])])
    return [
        f"unlesion train {learnt} {repeat} --out TRAINED",
        f"unlesion calibrate TRAINED {words} --out {shlex.quote(out)}",
    ]


def repeat_evaluation(metrics: Mapping[str, Any], folder: Path) -> list[str]:
    """The commands that make an evaluation again, as far as its files say."""
    found = metrics.get("commands")
    if found:
        return [str(command) for command in found]
    words = [f"--split {look_up(metrics, 'cohort.split') or 'test'}", look_up(metrics, "cohort.options")]
    tested = _source("COHORT", look_up(metrics, "cohort.options"), look_up(metrics, "cohort.name"))
    rest = " ".join(
        [tested, *(word for word in words if word), f"--out {shlex.quote(folder.name or 'EVALUATION')}"]
    )
    made = repeat_run(metrics.get("record") or {}, "RUN")
    if made:
        return [*made, f"unlesion evaluate RUN {rest}"]
    # Without a record it is of maps that somebody else made.
    of_maps = metrics.get("cohort") and not metrics.get("record")
    return [f"unlesion evaluate MAPS {rest}"] if of_maps else []


def _source(otherwise: str, options: Any, name: Any) -> str:
    """What stands for a cohort in a command: the name of a public dataset; else a word, as a path is another elsewhere."""
    # What was chosen of a cohort follows its name in brackets. A manifest may have a root, too.
    bare = str(name or "").partition(" (")[0]
    return bare if is_dataset(bare) and "--root" in str(options or "").split() else otherwise
