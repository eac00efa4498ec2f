"""Virtual cohorts on disk."""

from __future__ import annotations

import csv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel
import numpy as np
import pytest

from unlesion.errors import BadInput
from unlesion.phantom import PATHOLOGIES, STANDARD, standard_role, write_cohort
from unlesion.scans import Cohort


def rows(manifest: Path) -> list[dict[str, str]]:
    with manifest.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cohort(4, tmp_path_factory.mktemp("cohort"), seed=3, modality=("FLAIR", "T1"), spacing_mm=4)


def test_manifest_opens_as_a_cohort(manifest: Path) -> None:
    cohort = Cohort.open(manifest)
    assert len(cohort) == 8
    entry = next(entry for entry in cohort if entry.label == "anomalous")
    scan = entry.read()
    assert scan.lesions is not None and scan.lesions.any()
    assert scan.twin is not None and scan.roi is not None
    np.testing.assert_allclose(scan.grid.spacing, 4)
    changed = scan.voxels[0] != scan.twin[0]
    assert changed[scan.lesions].mean() > 0.9
    assert len(Cohort.open(manifest, channels=("FLAIR", "T1"))) == 4


def test_rows_say_what_the_files_hold(manifest: Path) -> None:
    for row in rows(manifest):
        image = nibabel.load(manifest.parent / row["path"])
        np.testing.assert_allclose(image.header.get_zooms(), float(row["spacing_mm"]))
        assert (row["label"] == "anomalous") == bool(row["mask_path"]) == bool(row["twin_path"])
        assert row["split"] == "test" or row["label"] == "healthy"
        roi = nibabel.load(manifest.parent / row["roi_path"])
        np.testing.assert_array_equal(np.asarray(image.dataobj) > 0, np.asarray(roi.dataobj) > 0)


def test_a_subject_does_not_depend_on_the_number_of_subjects(manifest: Path, tmp_path: Path) -> None:
    small = write_cohort(3, tmp_path, seed=3, modality=("FLAIR", "T1"), spacing_mm=4)
    assert rows(small) == rows(manifest)[:6]
    for row in rows(small):
        assert (small.parent / row["path"]).read_bytes() == (manifest.parent / row["path"]).read_bytes()


def test_resume_mends_what_is_missing_and_leaves_the_rest(manifest: Path) -> None:
    root = manifest.parent
    lost, kept = root / "sub-0002" / "mask.nii.gz", root / "sub-0001" / "T1.nii.gz"
    before, stamp = lost.read_bytes(), kept.stat().st_mtime_ns
    lost.unlink()
    write_cohort(4, root, seed=3, modality=("FLAIR", "T1"), spacing_mm=4)
    assert lost.read_bytes() == before
    assert kept.stat().st_mtime_ns == stamp


def test_other_settings_make_a_subject_anew(tmp_path: Path) -> None:
    first = write_cohort(1, tmp_path, seed=0, spacing_mm=4)
    before = (first.parent / "sub-0000" / "FLAIR.nii.gz").read_bytes()
    with ThreadPoolExecutor(1) as executor:
        write_cohort(1, tmp_path, seed=1, spacing_mm=4, executor=executor)
    assert (first.parent / "sub-0000" / "FLAIR.nii.gz").read_bytes() != before


def test_a_cohort_has_at_least_one_subject(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="1 or more"):
        write_cohort(0, tmp_path)


def test_standard_design_calibrates_and_tests_everything() -> None:
    for n, least in ((24, 8), (40, 8), (80, 20), (200, 50)):
        roles = [standard_role(number) for number in range(n)]
        assert sum(role.split == "val" for role in roles) >= least
        assert all(role.pathology is None for role in roles if role.split != "test")
        sick = [role.pathology for role in roles if role.pathology]
        assert set(sick) == set(STANDARD)
        assert sum(role.split == "test" and role.pathology is None for role in roles) >= n // 12
        counts = [sick.count(name) for name in STANDARD]
        assert max(counts) - min(counts) <= 1


class OneSize:
    """Volumes as the implants' sizes give them."""

    def __init__(self, ml: float) -> None:
        self.ml = ml

    def fits(self, pathology: str) -> bool:
        kind = PATHOLOGIES[pathology]
        return kind.smallest_ml <= self.ml <= kind.largest_ml

    def at(self, pathology: str, share: float) -> float:
        assert 0 <= share < 1
        return self.ml


def test_pathologies_and_sizes_as_asked_for(tmp_path: Path) -> None:
    manifest = write_cohort(
        6, tmp_path, spacing_mm=4, pathologies=("resection cavity", "chronic stroke"), sizes=OneSize(12.0)
    )
    sick = [row for row in rows(manifest) if row["label"] == "anomalous"]
    assert [row["pathology"] for row in sick] == ["resection cavity"]
    for row in rows(manifest):
        assert bool(row["size_ml"]) == bool(row["asked_ml"]) == (row["label"] == "anomalous")
    for row in sick:
        mask = np.asarray(nibabel.load(manifest.parent / row["mask_path"]).dataobj)
        assert float(row["size_ml"]) == pytest.approx(np.count_nonzero(mask) * 0.064, rel=1e-3)
        assert float(row["asked_ml"]) == 12.0
        assert float(row["size_ml"]) == pytest.approx(12.0, rel=0.3)


def test_all_pathologies_take_turns() -> None:
    sick = [
        role.pathology for role in (standard_role(k, tuple(PATHOLOGIES)) for k in range(60)) if role.pathology
    ]
    assert sick[: len(PATHOLOGIES)] == list(PATHOLOGIES)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"pathologies": ("flu",)}, "choose from"),
        ({"pathologies": ()}, "choose from"),
        ({"pathologies": ("microbleeds",), "sizes": OneSize(40.0)}, "microbleeds: does not come"),
    ],
)
def test_unknown_pathologies_and_misfits_are_named(
    wrong: dict[str, object], words: str, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=words):
        write_cohort(1, tmp_path, **wrong)  # type: ignore[arg-type]
