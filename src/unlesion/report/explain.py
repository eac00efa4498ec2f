"""What every metric means, in plain words, and the tables made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unlesion.report.numbers import leaves, look_up, number, value_of, why_not

INTERVALS = "In brackets: 95 % interval by bootstrap over subjects; none is given below 5 subjects."


@dataclass(frozen=True)
class Meaning:
    """A metric and what it says."""

    place: str
    name: str
    words: str
    oracle: bool = False


GROUPS: tuple[tuple[str, tuple[Meaning, ...]], ...] = (
    (
        "Voxels",
        (
            Meaning(
                "voxel.ap",
                "AP",
                "How well the map ranks lesion voxels above all others, pooled over all scans.",
            ),
            Meaning("voxel.ap_raw", "AP, no post-processing", "The same before the map is smoothed."),
            Meaning("voxel.ap_scan", "AP per scan", "Mean over scans with lesions, each ranked by itself."),
            Meaning(
                "voxel.prevalence", "Prevalence", "Share of lesion voxels: the AP that guessing would reach."
            ),
            Meaning(
                "voxel.auroc",
                "AUROC",
                "Probability that a lesion voxel outranks another; flatters when lesions are small.",
            ),
            Meaning(
                "voxel.dice_at_fpr.fpr_0001", "Dice at 0.1 %", "Overlap at the threshold from healthy scans …"
            ),
            Meaning(
                "voxel.dice_at_fpr.fpr_0005", "Dice at 0.5 %", "… which this share of healthy voxels exceeds."
            ),
            Meaning("voxel.dice_at_fpr.fpr_001", "Dice at 1 %", "The threshold that detection uses."),
            Meaning("voxel.dice_at_fpr.fpr_005", "Dice at 5 %", "A generous threshold."),
            Meaning(
                "voxel.dice_oracle",
                "Best Dice",
                "At the threshold that suits the test lesions best, which nobody knows beforehand.",
                oracle=True,
            ),
        ),
    ),
    (
        "Scans",
        (
            Meaning(
                "image.auroc",
                "AUROC",
                "Probability that a scan with lesions outscores a healthy one; 0.5 is chance.",
            ),
            Meaning(
                "image.auroc_within_modality",
                "AUROC within modality",
                "The same among scans of one modality: scores of different ones need not compare.",
            ),
            Meaning("image.ap", "AP", "How well the score ranks scans with lesions above healthy ones."),
            Meaning(
                "image.flagged.anomalous",
                "Flagged, with lesions",
                "Share of scans with lesions that are flagged.",
            ),
            Meaning("image.flagged.healthy", "Flagged, healthy", "Share of healthy scans flagged in error."),
        ),
    ),
    (
        "Lesions",
        (
            Meaning(
                "lesion.f1",
                "F1",
                "Balance of the two below, each lesion counted once, at the 1 % threshold (where there is none, of what the maps' files mark).",
            ),
            Meaning("lesion.recall", "Found", "Share of annotated lesions that are found."),
            Meaning("lesion.precision", "Precision", "Share of found regions that are lesions."),
        ),
    ),
    (
        "Pseudo-healthy image",
        (
            Meaning(
                "healthy.mae",
                "Error on healthy scans",
                "Mean absolute change; 0 leaves healthy scans as they are.",
            ),
            Meaning("healthy.psnr", "PSNR", "The same in decibels; higher is closer."),
            Meaning("healthy.ssim", "SSIM", "Structural similarity on healthy scans; 1 is identical."),
            Meaning(
                "twin.mae_lesion", "Error inside lesions", "Distance to the true healthy twin inside lesions."
            ),
            Meaning(
                "twin.gain", "Healing", "1 is the true healthy twin, 0 is doing nothing, below 0 is harm."
            ),
        ),
    ),
)

# These have tables of their own.
ELSEWHERE = ("shared", "n", "realised_fpr", "by")
LESIONS_BY_SIZE = "lesion.recall_by_size"

KNOWN = {meaning.place for _, meanings in GROUPS for meaning in meanings}


@dataclass(frozen=True)
class TableRow:
    """A row of the table of metrics."""

    name: str
    words: str
    oracle: bool
    native: str
    shared: str
    defined: bool
    why: str


def metric_tables(metrics: Mapping[str, Any]) -> list[tuple[str, list[TableRow]]]:
    """The metrics in groups; those that the file does not hold are left out, undefined ones say why."""
    shared = metrics.get("shared") or {}
    tables = []
    for title, meanings in GROUPS:
        rows = [
            _row(meaning, metrics, shared)
            for meaning in meanings
            if look_up(metrics, meaning.place) is not None or look_up(shared, meaning.place) is not None
        ]
        if rows:
            tables.append((title, rows))
    others = [
        place
        for place in leaves({k: v for k, v in metrics.items() if k not in ELSEWHERE})
        if place not in KNOWN and not place.startswith(LESIONS_BY_SIZE)
    ]
    if others:
        tables.append(("Further", [_row(Meaning(place, place, ""), metrics, shared) for place in others]))
    return tables


def has_shared(metrics: Mapping[str, Any]) -> bool:
    """Whether a second scoring stands beside the native one."""
    return bool(metrics.get("shared"))


def _row(meaning: Meaning, metrics: Mapping[str, Any], shared: Mapping[str, Any]) -> TableRow:
    alpha = look_up(metrics, f"{meaning.place}.alpha")
    return TableRow(
        name=meaning.name,
        words=meaning.words + (f" Flagged at {alpha:g}." if isinstance(alpha, int | float) else ""),
        oracle=meaning.oracle,
        native=number(metrics, meaning.place),
        shared="" if look_up(shared, meaning.place) is None else number(shared, meaning.place),
        defined=value_of(metrics, meaning.place) is not None,
        why=why_not(metrics, meaning.place),
    )
