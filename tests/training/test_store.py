"""Training on a prepared store learns from the chosen scans, and gives the run that is saved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from unlesion.detector import Detector
from unlesion.errors import BadInput
from unlesion.files import read_json
from unlesion.prepare import PreparedStore, load_recipe, prepare_cohort, store_cohort
from unlesion.scans import Cohort
from unlesion.training import train


@pytest.fixture(scope="module")
def stored(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("stored") / "store"
    prepare_cohort(Cohort.open(pictures), load_recipe("slices", {"size": 32}), out)
    return out


def test_only_the_chosen_scans_are_learnt_from(stored: Path, tmp_path: Path) -> None:
    chosen = store_cohort(stored, where=["group=a"])
    run = train(
        chosen,
        method="atlas",
        preset="tiny",
        out=tmp_path / "run",
        store=PreparedStore.open(stored),
        device="cpu",
    )
    assert run.record["healthy_scans"] == 4
    assert run.record["slices"] == 4
    assert run.calibrations["native"].n_subjects == 2


def test_a_store_may_be_given_by_its_path(stored: Path, tmp_path: Path) -> None:
    run = train(stored, method="atlas", preset="tiny", out=tmp_path / "run", device="cpu")
    assert run.record["healthy_scans"] == 8


def test_a_store_without_the_chosen_scans_is_refused(pictures: Path, stored: Path, tmp_path: Path) -> None:
    cohort = Cohort.open(pictures)
    other = replace(cohort, entries=tuple(replace(entry, key=f"other/{entry.key}") for entry in cohort))
    with pytest.raises(BadInput, match="none of the healthy training scans"):
        train(
            other,
            method="atlas",
            preset="tiny",
            out=tmp_path / "run",
            store=PreparedStore.open(stored),
            device="cpu",
        )


def test_a_store_condition_that_leaves_nothing(stored: Path) -> None:
    with pytest.raises(BadInput, match="group"):
        store_cohort(stored, where=["group=z"])
    with pytest.raises(BadInput, match="group"):
        store_cohort(stored, where=["colour=red"])


def test_a_store_is_the_same_cohort_wherever_it_lies(stored: Path, pictures: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    prepare_cohort(Cohort.open(pictures), load_recipe("slices", {"size": 32}), again)
    assert store_cohort(again).digest == store_cohort(stored).digest


def test_the_run_that_was_trained_is_the_run_that_is_loaded(pictures: Path, tmp_path: Path) -> None:
    """Bit for bit: layout and saved tensors, thresholds and p-values."""
    trained = train(pictures, method="dae", preset="tiny", steps=5, out=tmp_path / "run", device="cpu")
    loaded = Detector.load(tmp_path / "run")
    scan = Cohort.open(pictures)[15].read()
    one, two = trained.detect(scan), loaded.detect(scan)
    assert np.array_equal(one.anomaly, two.anomaly)
    assert one.healthy is not None
    assert two.healthy is not None
    assert np.array_equal(one.healthy, two.healthy)
    assert one.summary() == two.summary()
    saved = read_json(tmp_path / "run" / "detector.json")
    assert saved["calibration"]["native"]["thresholds"] == dict(trained.calibrations["native"].thresholds)


def test_lesions_stay_inside_the_region_that_calibrated(pictures: Path, tmp_path: Path) -> None:
    run = train(pictures, method="intensity", preset="tiny", out=tmp_path / "run", device="cpu")
    scan = Cohort.open(pictures)[15].read()
    half = np.zeros(scan.grid.shape, bool)
    half[:, : scan.grid.shape[1] // 2] = True
    found = run.detect(replace(scan, roi=half), rate="fpr_005")
    assert not (found.lesions & ~half).any()


def test_an_empty_region_is_bad_input(pictures: Path, tmp_path: Path) -> None:
    run = train(pictures, method="atlas", preset="tiny", out=tmp_path / "run", device="cpu")
    scan = Cohort.open(pictures)[15].read()
    prepared = run.prepare(scan)
    with pytest.raises(BadInput, match="empty"):
        run.evidence(replace(prepared, roi=np.zeros_like(prepared.roi)))
