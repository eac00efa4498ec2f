"""The page of a prepared store: what was cut, and what was noticed, before anything learns from it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cohorts import write_pictures
from unlesion.prepare import load_recipe, prepare_cohort
from unlesion.report import write_prepared_page
from unlesion.scans import Cohort


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    """Twenty pictures, of which one has no head."""
    manifest = write_pictures(tmp_path / "pictures", train=20, val=0, healthy=0, anomalous=0)
    cohort = Cohort.open(manifest)
    speck = np.zeros((48, 48), np.uint8)
    speck[20, 20:23] = 200
    Image.fromarray(speck).save(cohort[7].paths[0])
    return cohort


def test_doubtful_scans_stand_first_and_others_are_spread(cohort: Cohort, tmp_path: Path) -> None:
    store, _ = prepare_cohort(cohort, load_recipe("slices", preset_size=32), tmp_path / "store")
    page = write_prepared_page(tmp_path / "page.html", store, cohort, ["one thing"]).read_text()
    assert "20 scans prepared" in page and "1 scan with a warning" in page and "one thing" in page
    assert "not a medical device" in page
    shown = re.findall(r'alt="([^"]+) of "', page)
    assert shown[0] == "/".join(cohort[7].key.split("/")[-2:]) and len(shown) == len(set(shown)) == 13
    assert page.index("whole picture is used") < page.index("Others")


def test_what_lies_outside_the_region_is_seen(cohort: Cohort, tmp_path: Path) -> None:
    """The store has only zeros there; the page reads the scan again, and goes on without one that is gone."""
    recipe = load_recipe("slices", {"roi.erode_mm": 40.0}, preset_size=32)
    store, _ = prepare_cohort(cohort, recipe, tmp_path / "store")
    whole = write_prepared_page(tmp_path / "page.html", store, cohort, []).read_text()
    for entry in cohort.entries[:3]:
        entry.paths[0].unlink()
    fewer = write_prepared_page(tmp_path / "page.html", store, cohort, []).read_text()
    assert 0 < fewer.count("<img") < whole.count("<img")
