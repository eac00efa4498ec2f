"""Which scans the sheet of all methods shows, and that it shows every run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.scripts import script
from unlesion.scans import Cohort

sheet = script("sheet")


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    """Two pathologies of five sizes each, and a healthy scan."""
    rows = ["path,split,label,pathology,size_ml"]
    for name in ("glioma", "stroke"):
        rows += [f"{name}{size}.png,test,anomalous,{name},{size}" for size in (5, 1, 4, 2, 3)]
    rows += ["healthy.png,test,healthy,,", "other.png,val,anomalous,stroke,3"]
    (tmp_path / "manifest.csv").write_text("\n".join(rows) + "\n")
    return Cohort.open(tmp_path / "manifest.csv")


def test_of_every_pathology_the_median_lesion(cohort: Cohort) -> None:
    shown = sheet.typical(cohort)
    assert [(entry.pathology, size) for entry, size in shown] == [("glioma", 3.0), ("stroke", 3.0)]


def test_so_many_scans_from_small_lesions_to_large(cohort: Cohort) -> None:
    shown = sheet.typical(cohort, 6)
    assert [size for _, size in shown] == [1.0, 1.0, 3.0, 3.0, 5.0, 5.0]
    assert len({entry.key for entry, _ in shown}) == 6


def test_no_more_than_there_are(cohort: Cohort) -> None:
    assert len(sheet.typical(cohort, 100)) == 10
    assert [size for _, size in sheet.typical(cohort, 1)] == [3.0]


def test_without_an_anomalous_scan_it_says_what_to_do(cohort: Cohort, tmp_path: Path) -> None:
    words = [str(tmp_path / "manifest.csv"), str(tmp_path / "out.png"), "run", "--where", "label=healthy"]
    with pytest.raises(SystemExit, match="no anomalous scan in split test"):
        sheet.main(words)
    assert not (tmp_path / "out.png").exists()
