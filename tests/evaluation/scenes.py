"""Simulated scans with maps, and evaluations of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from unlesion.calibration import Calibration, CalibrationBuilder
from unlesion.evaluation import Bootstrap, EvaluatedScan, Evaluation, Evaluator
from unlesion.scoring import PostConfig, ScoringConfig

SIDE = 40
BARE = ScoringConfig(post=PostConfig(min_component_ml=0, min_component_mm2=0))


def scans(
    *,
    subjects: int = 8,
    rows: int = 3,
    contrast: float = 2.0,
    seed: int = 0,
    noise_seed: int = 1,
    scale: float = 1.0,
) -> Iterator[EvaluatedScan]:
    """Flat scans; odd subjects have a square lesion in all rows but the first. `scale` multiplies the maps."""
    places = np.random.default_rng(seed)
    noise = np.random.default_rng(noise_seed)
    for subject in range(subjects):
        level = 1 + 0.1 * places.random()
        for row in range(rows):
            roi = np.zeros((SIDE, SIDE, 1), bool)
            roi[2:-2, 3:-3] = True
            lesions = np.zeros_like(roi)
            if subject % 2 and row:
                top, left = places.integers(4, SIDE - 14, 2)
                lesions[top : top + 8, left : left + 7] = True
            raw = np.abs(noise.standard_normal(roi.shape)) + contrast * lesions
            anomaly = (scale * level * raw).astype(np.float32)
            image = places.random((1, *roi.shape)).astype(np.float32)
            yield EvaluatedScan(
                key=f"s{subject}/{row}",
                subject=f"s{subject}",
                scan_id=f"s{subject}",
                label="anomalous" if lesions.any() else "healthy",
                pathology="square" if lesions.any() else "none",
                columns={"split": "test", "site": "a", "path": "x.png"},
                maps={"native": (anomaly, anomaly * 0.5, None), "shared": (anomaly**2, anomaly, None)},
                roi=roi,
                lesions=lesions if lesions.any() else None,
                image=image,
                healthy=image + 0.01,
                twin=image + 0.1 * lesions[None],
                spacing=(2.0, 2.0, 5.0),
            )


def calibration(*, subjects: int = 25, seed: int = 5, scale: float = 1.0) -> Calibration:
    """From healthy maps like those of `scans`."""
    generator = np.random.default_rng(seed)
    builder = CalibrationBuilder()
    for subject in range(subjects):
        anomaly = (scale * np.abs(generator.standard_normal((SIDE, SIDE, 1)))).astype(np.float32)
        builder.add(
            str(subject), anomaly, np.ones(anomaly.shape, bool), float(np.sort(anomaly.ravel())[-13:].mean())
        )
    return builder.finish()


def evaluated(
    items: Iterator[EvaluatedScan],
    *,
    name: str = "run",
    calibrations: dict[str, Calibration] | None = None,
    config: ScoringConfig = BARE,
    replicates: int = 200,
    digest: str = "d",
) -> Evaluation:
    """Evaluate scans with few replicates."""
    evaluator = Evaluator(
        calibrations={"native": calibration()} if calibrations is None else calibrations,
        scoring={"native": config, "shared": config},
        name=name,
        cohort={"name": "c", "digest": digest, "split": "test"},
        bootstrap=Bootstrap(replicates=replicates),
    )
    for scan in items:
        evaluator.add(scan)
    return evaluator.finish()


def written(out: Path, **settings: object) -> Path:
    """Write an evaluation of `scans(**settings)`."""
    name = out.name
    evaluated(scans(**settings), name=name).write(out)  # type: ignore[arg-type]
    return out
