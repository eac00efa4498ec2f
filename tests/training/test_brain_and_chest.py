"""Every method that is known learns from brain slices, and from chest X-rays, and finds its way in a new image."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cohorts import draw_chest, draw_head
from unlesion import Cohort, Detector, train
from unlesion.methods.registry import method_names

KINDS = ("T1", "CXR")


@pytest.fixture(scope="module", params=KINDS)
def manifest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six healthy persons of a kind to learn from, three to calibrate."""
    kind: str = request.param
    folder = tmp_path_factory.mktemp(kind)
    rng = np.random.default_rng(0)
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, ("path", "subject", "modality", "split"))
        writer.writeheader()
        for number, split in enumerate(["train"] * 6 + ["val"] * 3):
            image = draw_head(rng)[0] if kind == "T1" else draw_chest(rng)
            Image.fromarray(image).save(folder / f"{number}.png")
            writer.writerow({"path": f"{number}.png", "subject": number, "modality": kind, "split": split})
    return folder / "manifest.csv"


@pytest.mark.slow
@pytest.mark.parametrize("name", method_names())
def test_trains_and_detects(name: str, manifest: Path, tmp_path: Path) -> None:
    cohort = Cohort.open(manifest)
    trained = train(cohort, method=name, preset="tiny", steps=12, out=tmp_path / "run", device="cpu")
    scan = cohort[7].read()
    found = Detector.load(tmp_path / "run").detect(scan)
    assert found.anomaly.shape == scan.grid.shape == found.lesions.shape
    assert np.isfinite(found.anomaly).all() and float(found.anomaly.std()) > 0
    assert found.healthy is None or np.isfinite(found.healthy).all()
    assert found.p_value is not None and 0 < found.p_value <= 1
    assert trained.method.name == name
