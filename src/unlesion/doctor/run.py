"""Examining a run: does it load, is it sound, and what can its calibration support?"""

from __future__ import annotations

import csv
import math
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlesion.doctor.cohort import Examined
from unlesion.doctor.finding import Finding, Level, by_severity
from unlesion.errors import BadInput
from unlesion.files import read_json
from unlesion.wording import count

if TYPE_CHECKING:
    from unlesion.detector import Detector


def examine_run(run: Path) -> Examined:
    """Look at a run of `unlesion train` or `calibrate`; nothing of it is executed but its loading."""
    return Examined(findings=by_severity(_findings(run)))


def _findings(run: Path) -> Iterator[Finding]:
    from unlesion.detector import Detector

    yield from _history(run)
    yield from _leftovers(run)
    if not (run / "card.md").is_file():
        yield _finding(
            run, "run.no-card", "note", "card.md is missing", "copy it from the method's page, or train again"
        )
    try:
        detector = Detector.load(run)
    except BadInput as error:
        if not (run / "detector.json").exists():
            text, mend = "training did not finish", "go on with `unlesion train … --resume`"
        else:
            text, mend = str(error), "restore the folder from a copy, or train again"
        yield _finding(run, "run.does-not-load", "error", text, mend)
        return
    yield from _weights(run, detector)
    yield from _calibration(run, detector)
    yield from _versions(run, detector.record)


def _weights(run: Path, detector: Detector) -> Iterator[Finding]:
    import numpy as np
    import torch

    broken = [
        name
        for name, tensor in detector.network.state_dict().items()
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())
    ]
    for scorer, state in ((name, s.state_dict()) for name, s in detector.scorers.items()):
        broken += [
            f"scorer {scorer}: {name}"
            for name, array in state.items()
            if not np.isfinite(np.asarray(array, dtype=np.float64)).all()
        ]
    if broken:
        yield Finding(
            code="run.weights-not-finite",
            level="error",
            where=tuple(broken),
            what="weights are NaN or infinite",
            mend="train again, with a lower learning rate if it happens again",
            unit="tensor",
        )


def _calibration(run: Path, detector: Detector) -> Iterator[Finding]:
    from unlesion.detector import DEFAULT_ALPHA

    native = detector.calibrations.get("native")
    if native is None:
        yield _finding(
            run,
            "run.not-calibrated",
            "warning",
            "not calibrated: without thresholds nothing is decided about lesions, and there are no p-values",
            "use `unlesion calibrate` with healthy scans",
        )
        return
    # Where every modality has its own, the one with the fewest subjects says what can be relied on.
    modality, least = min(native.parts.items(), key=lambda part: part[1].n_subjects, default=("", native))
    supported = least.smallest_p <= DEFAULT_ALPHA
    subjects = count(least.n_subjects, "healthy subject")
    subjects += f" of {modality}, the fewest of {len(native.parts)} modalities" if modality else ""
    yield Finding(
        code="run.calibration",
        level="note" if supported else "warning",
        where=(str(run),),
        of=1,
        what=f"calibrated on {subjects} ({count(least.n_scans, 'scan')}): "
        f"no p-value below 1/{least.n_subjects + 1} = {least.smallest_p:.3g}"
        + ("" if supported else f", so nothing is flagged at alpha {DEFAULT_ALPHA:g}"),
        mend="nothing" if supported else "calibrate on more healthy subjects, or ask for a larger --alpha",
        value=least.smallest_p,
    )
    odd = [
        name
        for name, c in detector.calibrations.items()
        if not all(map(math.isfinite, c.thresholds.values()))
    ]
    if odd:
        yield _finding(
            run,
            "run.threshold-not-finite",
            "error",
            f"the thresholds of scoring {' and '.join(odd)} are not finite",
            "calibrate again",
        )


def _versions(run: Path, record: dict[str, Any]) -> Iterator[Finding]:
    import numpy as np
    import torch

    import unlesion

    now = {
        "unlesion": unlesion.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
    then = record.get("versions", {})
    other = [f"{n} {then[n]} (here {now[n]})" for n in now if n in then and str(then[n]) != str(now[n])]
    if other:
        yield _finding(
            run,
            "run.other-versions",
            "note",
            f"trained with {', '.join(other)}",
            "nothing, unless results must be repeated to the last digit",
        )


def _history(run: Path) -> Iterator[Finding]:
    path = run / "history.csv"
    if not path.is_file():
        yield _finding(
            run, "run.no-history", "note", "history.csv is missing", "nothing: detection works without"
        )
        return
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            losses = [(row["stage"], row["step"], float(row["loss"])) for row in csv.DictReader(stream)]
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        yield _finding(
            run, "run.history-damaged", "warning", "history.csv cannot be read", "restore it from a copy"
        )
        return
    broken = [f"{stage}, step {step}" for stage, step, loss in losses if not math.isfinite(loss)]
    if broken:
        yield Finding(
            code="run.loss-not-finite",
            level="error",
            where=tuple(broken),
            what="the loss was NaN or infinite",
            mend="train again, with a lower learning rate",
            of=len(losses),
            unit="entry of history.csv",
        )


def _leftovers(run: Path) -> Iterator[Finding]:
    """Signs of a training that ended early."""
    try:
        begun = read_json(run / "training.json") if (run / "training.json").is_file() else {}
        saved = read_json(run / "detector.json") if (run / "detector.json").is_file() else {}
    except BadInput:
        # Loading says so.
        return
    steps = saved.get("record", {}).get("steps") if isinstance(saved, dict) else None
    wanted = begun.get("steps") if isinstance(begun, dict) else None
    if steps and wanted and str(wanted).isdigit() and isinstance(steps, dict):
        done = sum(int(count) for count in steps.values())
        if done < int(wanted):
            yield _finding(
                run,
                "run.cut-short",
                "warning",
                f"trained for {done} of {wanted} steps",
                "go on with `unlesion train … --resume`",
            )


def _finding(run: Path, code: str, level: Level, what: str, mend: str) -> Finding:
    return Finding(code=code, level=level, where=(str(run),), what=what, mend=mend, of=1)
