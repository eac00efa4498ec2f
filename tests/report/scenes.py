"""Made-up cases for the pages."""

from __future__ import annotations

from typing import Any

import numpy as np

from unlesion.report import Gallery, GalleryCase


def case(key: str = "a/b", kind: str = "lesion", *, side: int = 48, healthy: bool = True) -> GalleryCase:
    generator = np.random.default_rng(len(key))
    image = generator.random((side, side)).astype(np.float32)
    truth = np.zeros((side, side), bool)
    truth[10:20, 10:20] = True
    return GalleryCase(
        key=key,
        kind=kind,  # type: ignore[arg-type]
        image=image,
        healthy=image * 0.9 if healthy else None,
        anomaly=image * 2,
        truth=truth,
        found=image > 0.9,
        spacing=(1.0, 1.0),
        sides=("R", "L"),
        facts={"Dice": "0.50"},
    )


def gallery(*, each: int = 1, side: int = 48) -> Gallery:
    kinds = ("best", "lesion", "miss", "false_alarm", "healthy")
    cases = tuple(case(f"{kind}/{n}", kind, side=side) for kind in kinds for n in range(each))
    return Gallery(cases=cases, threshold=0.4)


def metric(value: float | None, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    if value is None:
        return {"value": None, "ci": None, "why": "no scan with lesions"}
    return {"value": value, "ci": None if low is None else [low, high]}


def metrics() -> dict[str, Any]:
    voxel = {
        "ap": metric(0.541, 0.48, 0.603),
        "prevalence": metric(0.031),
        "dice_oracle": metric(0.55, 0.5, 0.6),
        "dice_at_fpr": {"fpr_001": metric(0.43, 0.3, 0.5)},
    }
    return {
        "voxel": voxel,
        "image": {"auroc": metric(0.83, 0.7, 0.92)},
        "lesion": {"f1": metric(None)},
        "realised_fpr": {"fpr_0001": metric(0.0), "fpr_001": metric(0.013, 0.01, 0.02)},
        "n": {"subjects": metric(40), "scans": metric(52), "healthy": metric(20), "anomalous": metric(32)},
        "shared": {"voxel": {"ap": metric(0.5, 0.4, 0.6)}},
        "calibration": {"native": {"subjects": 24, "thresholds": {"fpr_001": 0.4}}},
        "cohort": {"name": "made-up", "digest": "abc", "split": "test"},
        "record": {"method": "dae", "repeat": "--method dae --steps denoise=100", "steps": {"denoise": 100}},
        "sign": "both",
        "scoring": {"native": {"rule": "residual", "post": {"median_mm": 5.0}}},
    }


def group(ap: float | None, *, subjects: int = 12, healthy: int = 0) -> dict[str, Any]:
    """A group's metrics; below 5 subjects without intervals."""
    enough = subjects >= 5
    found = {
        "n": {
            "subjects": metric(subjects),
            "scans": metric(2 * subjects),
            "healthy": metric(healthy),
            "anomalous": metric(2 * subjects - healthy),
        },
        "voxel": {
            "ap": metric(ap, ap - 0.1, ap + 0.1) if enough and ap is not None else metric(ap),
            "prevalence": metric(0.02),
        },
        "image": {"auroc": metric(0.75, 0.6, 0.9) if enough else metric(0.75)},
        "lesion": {"recall": metric(0.5)},
        "twin": {"gain": metric(-0.2)},
    }
    return {**found, "realised_fpr": {"fpr_001": metric(0.012, 0.01, 0.015)}} if healthy else found


def by_group() -> dict[str, Any]:
    """What `metrics()` lacks of an evaluation with groups."""
    return {
        "by": {
            "pathology": {
                "acute stroke": group(0.7),
                "iso-intense": group(0.1, subjects=3),
                "x": group(None),
            },
            "size_band": {"<0.1 ml": group(0.05), "0.1-1 ml": group(0.3)},
            "site": {"a": group(0.5, healthy=10), "b.c": group(0.4, healthy=10)},
        },
        "grouping": {
            "pathology": {"holds": "anomalous scans; ...", "scans_in_no_group": 0},
            "size_band": {"holds": "anomalous scans; ...", "scans_in_no_group": 3},
            "site": {
                "holds": "healthy and anomalous scans; ...",
                "scans_in_no_group": 1,
                "groups_left_out": ["y", "z"],
            },
        },
    }


def scan_rows() -> list[dict[str, str]]:
    return [
        {
            "key": f"s{n}",
            "label": "anomalous" if n % 2 else "healthy",
            "score": str(0.1 * n),
            "p_value": str(1 / (n + 1)),
            "flagged": str(n > 3),
        }
        for n in range(6)
    ]


def curves() -> dict[str, Any]:
    recall = [0.0, 0.5, 1.0]
    return {"native": {"recall": recall, "precision": [1.0, 0.7, 0.03], "threshold": [2.0, 0.4, 0.0]}}


def run() -> dict[str, Any]:
    calibration = {
        "thresholds": {"fpr_0001": 0.8, "fpr_0005": 0.6, "fpr_001": 0.4, "fpr_005": 0.2},
        "scores": [[0.1], [0.2, 0.3], [0.15]],
        "n_subjects": 3,
        "n_scans": 4,
    }
    return {
        "unlesion": "0.1.0",
        "method": {
            "name": "dae",
            "citation": "Somebody, somewhere.",
            "deviations": ["smaller"],
            "config": {"a": 1},
        },
        "input": {"size": 64, "modalities": ["T1"]},
        "seed": 0,
        "recipe": {"name": "slices", "digest": "abc"},
        "scoring": {"native": {"rule": "residual"}},
        "calibration": {"native": calibration},
        "record": {
            "preset": "cpu",
            "cohort_name": "made-up",
            "healthy_subjects": 14,
            "healthy_scans": 14,
            "slices": 900,
            "steps": {"denoise": 100},
            "minutes": 5.0,
            "fit_seconds": 300.0,
            "repeat": "--method dae --preset cpu --seed 0 --steps denoise=100",
        },
    }
