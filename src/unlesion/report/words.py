"""Numbers in words that can be defended."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from unlesion.report.numbers import interval_of, look_up, number, percent, value_of
from unlesion.wording import count

NOTICE = "For research use only; not a medical device."

# Where a run has no calibration; an empty mask must not read as a finding.
UNDECIDED = "Not calibrated: without a threshold nothing is decided, neither that there are lesions nor that there are none."

_SIDES = {"R": "right", "L": "left", "A": "front", "P": "back", "S": "head", "I": "feet"}


def p_short(p: float) -> str:
    """A p-value in few characters, never rounded to less than it is."""
    if p >= 0.1:
        return f"{math.ceil(p * 100 - 1e-9) / 100:.2f}"
    digits = 1 - math.floor(math.log10(p)) if p > 0 else 3
    return f"{math.ceil(p * 10**digits - 1e-9) / 10**digits:.{digits}f}".rstrip("0")


def p_in_words(p: float | None, n_subjects: int | None = None) -> str:
    """What a conformal p-value says, in words.

    Args:
        p: the p-value; None where there is no calibration.
        n_subjects: healthy subjects that it rests on, if known.

    Returns:
        Such as "about 1 healthy subject in 50 looks at least this unusual".
    """
    if p is None:
        return "not known: the run is not calibrated"
    rests = "" if n_subjects is None else f" (compared with {n_subjects})"
    if n_subjects is not None and p <= 1.0 / (n_subjects + 1) * (1 + 1e-9):
        none = "the one" if n_subjects == 1 else f"each of the {n_subjects}"
        if n_subjects < 4:
            return f"more unusual than {none} healthy subject{'s' if n_subjects > 1 else ''} compared with"
        return f"about 1 healthy subject in {_one_in(p)} looks at least this unusual (none of the {n_subjects} compared did)"
    if p <= 0.2:
        return f"about 1 healthy subject in {_one_in(p)} looks at least this unusual{rests}"
    tenths = round(p * 10)
    if tenths >= 10:
        return f"not unusual: nearly all healthy subjects look at least this unusual{rests}"
    lead = "not unusual: " if p >= 0.5 else ""
    return f"{lead}about {tenths} healthy subjects in 10 look at least this unusual{rests}"


def calibration_in_words(n_subjects: int | None, apart: Mapping[str, int] | None = None) -> str:
    """What the number of healthy subjects allows one to say.

    Args:
        n_subjects: healthy subjects of all modalities; None or 0 without calibration.
        apart: healthy subjects of each modality, where each has a calibration of its own.
    """
    if n_subjects and apart:
        each = (
            f"{name} on {count(number, 'healthy subject')} (no p-value below 1/{number + 1} = {1 / (number + 1):.3g})"
            for name, number in apart.items()
        )
        return f"Each modality is calibrated by itself, {', '.join(each)}; a scan is held against those of its own."
    if not n_subjects:
        return f'{UNDECIDED} There are no p-values either. Use "unlesion calibrate".'
    few = count(n_subjects, "healthy subject")
    smallest = f"no p-value can be below 1/{n_subjects + 1} = {1 / (n_subjects + 1):.3g}"
    if n_subjects < 19:
        return (
            f"Calibrated on {few}: {smallest}, so that flagging at most 5 % of healthy subjects needs 19 of "
            'them or more. Calibrate on more with "unlesion calibrate".'
        )
    return f"Calibrated on {few}: {smallest}."


def subjects_apart(saved: Mapping[str, Any], name: str = "n_subjects") -> dict[str, int]:
    """Healthy subjects of each modality that has a calibration of its own; empty where none has.

    Args:
        saved: a run's `detector.json`, or the `metrics.json` of an evaluation.
        name: under which a calibration says there how many there are.
    """
    parts = look_up(saved, "calibration.native.parts") or {}
    return {kind: int(part[name]) for kind, part in parts.items()}


def sides_in_words(sides: Iterable[tuple[str, str] | None]) -> str:
    """What the letters at the edges of pictures mean; "" where no picture has any.

    Args:
        sides: of each picture, see `unlesion.scans.sides_of`.
    """
    drawn = list(sides)
    known = list(dict.fromkeys(pair for pair in drawn if pair is not None))
    if not known:
        return ""
    parts = [f"{a} and {b} are the patient's {_SIDES[a]} and {_SIDES[b]}" for a, b in known]
    unknown = " A scan without letters does not say which side is which." if None in drawn else ""
    return f"Letters on a scan: {', '.join(parts)}.{unknown}"


def evaluation_verdict(metrics: Mapping[str, Any]) -> str:
    """The whole evaluation in a sentence or two, with everything needed to judge it."""
    parts = []
    subjects, scans = _n(metrics, "subjects"), _n(metrics, "scans")
    lead = "On the selected scans" if subjects is None else f"On {count(subjects, 'subject')}"
    if scans is not None and scans != subjects:
        lead += f" ({count(scans, 'scan')})"
    ap = value_of(metrics, "voxel.ap")
    prevalence = value_of(metrics, "voxel.prevalence")
    if ap is not None:
        against = "" if prevalence is None else f", against the {number(prevalence)} of guessing"
        parts.append(f"voxel AP is {number(metrics, 'voxel.ap')}{against}")
    dice = value_of(metrics, "voxel.dice_at_fpr.fpr_001")
    if dice is not None:
        parts.append(
            "at the threshold meant to be exceeded by 1 % of healthy voxels, "
            f"Dice is {number(metrics, 'voxel.dice_at_fpr.fpr_001')}"
        )
    realised = value_of(metrics, "realised_fpr.fpr_001")
    if realised is not None:
        # Without masks there is no Dice, and so no threshold that "it" could mean.
        it = "it" if dice is not None else "the threshold meant to be exceeded by 1 % of them"
        parts.append(f"{percent(realised)} of the voxels of healthy test scans really exceed {it}")
    place = image_auroc(metrics)
    if value_of(metrics, place) is not None:
        parts.append(
            f"a scan with lesions outscores a healthy one{' of its modality' if place.endswith('modality') else ''} with probability "
            f"{number(metrics, place)}"
        )
    if not parts:
        return f"{lead}, no metric is defined; the table says why."
    sentence = f"{lead}, " + "; ".join(parts) + "."
    return sentence + _caution(metrics)


def image_auroc(metrics: Mapping[str, Any]) -> str:
    """The place of the image AUROC that can be defended: within modalities where there are several."""
    within = "image.auroc_within_modality"
    return within if value_of(metrics, within) is not None else "image.auroc"


def _caution(metrics: Mapping[str, Any]) -> str:
    """What keeps the verdict from meaning more."""
    subjects = _n(metrics, "subjects")
    if subjects is not None and subjects < 5:
        return " Fewer than 5 subjects: no interval, and no claim beyond these scans."
    # Only what the interval bears out: the share meant is 1 %.
    ends = interval_of(metrics, "realised_fpr.fpr_001")
    if ends is not None and ends[0] > 0.01:
        return " Healthy test scans exceed the threshold more often than they should: calibrate on scans like them."
    low_high = interval_of(metrics, image_auroc(metrics))
    if low_high and low_high[0] <= 0.5 <= low_high[1]:
        return " The interval of that probability includes 0.5: as far as these scans tell, it may be chance."
    return ""


def _n(metrics: Mapping[str, Any], name: str) -> int | None:
    found = value_of(metrics, f"n.{name}")
    return None if found is None else int(found)


def _one_in(p: float) -> int:
    return max(1, math.floor(1.0 / p + 1e-9))
