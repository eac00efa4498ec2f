"""The scale on which galleries are drawn, and which healthy scans a run shows."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from unlesion.calibration import Calibration
from unlesion.cli.pictures import builder_for, spread_out
from unlesion.scans import Entry
from unlesion.scoring import ScoringConfig, make_scorer

SHAPE = (20, 20, 1)


def calibration(*thresholds: float, parts: dict[str, Calibration] | None = None) -> Calibration:
    names = ("fpr_005", "fpr_001", "fpr_0005", "fpr_0001")
    return Calibration(
        thresholds=dict(zip(names, thresholds, strict=True)), scores=((1.0,),), n_scans=1, parts=parts or {}
    )


def test_a_threshold_of_0_is_no_scale() -> None:
    """So many healthy voxels of T2 are 0 that only the stricter thresholds are above it."""
    parts = {"T1": calibration(1, 2, 3, 4), "T2": calibration(0, 0, 5, 6)}
    whole = calibration(0, 0, 2, 5, parts=parts)
    scorers = {"native": make_scorer(ScoringConfig())}
    builder = builder_for(SimpleNamespace(calibrations={"native": whole}, scorers=scorers))  # type: ignore[arg-type]
    for name in parts:
        builder.add(
            key=name,
            label="healthy",
            image=np.ones(SHAPE, np.float32),
            anomaly=np.pad(np.full((10, 10, 1), 5, np.float32), ((0, 10), (0, 10), (0, 0))),
            roi=np.ones(SHAPE, bool),
            window=(0.0, 1.0),
            modality=(name,),
        )
    found = builder.finish()
    assert found.calibrated and found.threshold == 2
    drawn = {case.key: case.anomaly for case in found.cases}
    assert np.isclose(drawn["T1"].max(), 2.5) and np.isclose(drawn["T2"].max(), 1)
    assert all(np.isfinite(anomaly).all() for anomaly in drawn.values())


def test_a_run_shows_different_subjects_and_heights() -> None:
    """Slices came from one height: so many steps on in the cohort they have the same number."""

    def slices(subjects: int, each: int) -> list[Entry]:
        return [
            Entry(key=f"s{one}/slice_{number}", paths=(Path("x.png"),), subject=f"s{one}")
            for one in range(subjects)
            for number in range(each)
        ]

    shown = spread_out(slices(8, 32))
    assert len({entry.subject for entry in shown}) == len({entry.key.split("_")[1] for entry in shown}) == 4
    assert len(spread_out(slices(1, 10))) == 4 and len(spread_out(slices(3, 1))) == 3
    assert spread_out([]) == []
