from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tests.doctor.conftest import Planted, draw, plant
from unlesion.doctor import examine_cohort
from unlesion.doctor.auroc import separation
from unlesion.doctor.predictors import shares


def test_auroc_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    anomalous = rng.random(200) < 0.4
    values = np.round(rng.normal(anomalous, 1), 1)
    subjects = [f"s{number // 4}" for number in range(200)]
    found = separation(values, anomalous, subjects)
    assert found.auroc == pytest.approx(roc_auc_score(anomalous, values))
    assert (found.images, found.subjects) == (200, 50)
    assert found.interval is not None
    assert found.interval[0] < found.auroc < found.interval[1]
    assert separation(values, anomalous, subjects) == found


def test_the_interval_counts_subjects() -> None:
    rng = np.random.default_rng(1)
    anomalous, values = np.arange(12) % 2 == 0, rng.normal(0, 1, 12)
    once = separation(values, anomalous, [f"s{n}" for n in range(12)])
    copied = separation(np.repeat(values, 20), np.repeat(anomalous, 20), [f"s{n // 20}" for n in range(240)])
    assert once.interval is not None and copied.interval is not None
    assert np.allclose(once.interval, copied.interval, atol=0.05)
    assert separation(values, anomalous, ["a", "b"] * 6).interval is None


def test_a_category_says_nothing_of_its_own_subject() -> None:
    # Every subject has a site of its own: what is known of others says nothing.
    values = [f"site{number}" for number in range(40)]
    anomalous = np.arange(40) % 2 == 0
    subjects = [f"s{number}" for number in range(40)]
    assert separation(shares(values, anomalous, subjects), anomalous, subjects).auroc == 0.5
    telling = ["a" if sick else "b" for sick in anomalous]
    assert separation(shares(telling, anomalous, subjects), anomalous, subjects).auroc == 1.0


def _telling(cohort: Planted) -> dict[str, float]:
    found = examine_cohort(cohort.write()).confounds
    return {row.predictor: row.found.auroc for row in found if row.telling}


def test_nothing_tells_in_a_clean_cohort(tmp_path: Path) -> None:
    assert _telling(plant(tmp_path, val=0, healthy=12, anomalous=12)) == {}


def test_shape_tells(tmp_path: Path) -> None:
    cohort = plant(tmp_path, healthy=12, anomalous=12)
    for row in cohort.of("test", "anomalous")[:11]:
        number = int(row["subject"][1:])
        row["mask_path"] = ""
        cohort.save(row["path"], draw(number, lesion=False)[0][:-3])
    found = cohort.examine()
    shape = found["confound.not-square"]
    assert shape.value == pytest.approx(0.5 + 11 / 24)
    assert shape.interval is not None and shape.interval[0] > 0.65
    assert shape.n == 24
    assert shape.level == "warning"
    # As telling the other way round.
    assert found["confound.number-of-pixels"].value == pytest.approx(0.5 - 11 / 24)


def test_site_and_position_tell(tmp_path: Path) -> None:
    cohort = plant(tmp_path, healthy=16, anomalous=16)
    for index, row in enumerate(cohort.rows):
        sick = row["label"] == "anomalous"
        row |= {
            "site": "oslo" if sick else "bergen",
            "position": "0.5" if sick else f"{(index % 2) * 0.9 + 0.05}",
        }
    telling = _telling(cohort)
    assert telling["site"] == 1.0
    # Healthy slices lie above and below: no ranking of heights shows that, shares of heights do.
    assert telling["position in eighths"] == 1.0
    assert "position" not in telling


def test_brightness_outside_the_lesion_tells(tmp_path: Path) -> None:
    cohort = plant(tmp_path, healthy=10, anomalous=10)
    for row in cohort.of("test", "anomalous"):
        image = draw(int(row["subject"][1:]), lesion=True)[0]
        cohort.save(row["path"], (image * 0.7).astype(np.uint8))
    assert _telling(cohort)["mean intensity of the object"] < 0.05


def test_each_pathology_is_compared_alone(tmp_path: Path) -> None:
    cohort = plant(tmp_path, healthy=12, anomalous=24)
    for row in cohort.of("test", "anomalous")[::2]:
        row |= {"pathology": "flat", "mask_path": ""}
        cohort.save(row["path"], draw(int(row["subject"][1:]))[0][:-3])
    rows = examine_cohort(cohort.write()).confounds
    shape = {
        row.comparison.partition(" ")[0]: row.found.auroc for row in rows if row.predictor == "not square"
    }
    assert shape == {"anomalous": 0.75, "flat": 1.0}
    assert {row.comparison.partition(" ")[0] for row in rows} == {"anomalous", "blob", "flat"}


def test_the_modality_tells(tmp_path: Path) -> None:
    cohort = plant(tmp_path, healthy=10, anomalous=10)
    for row in cohort.of("test", "anomalous"):
        row["modality"] = "FLAIR"
    found = cohort.examine()["confound.modality"]
    assert found.value == 1.0
    assert found.n == 20


def test_what_is_not_known_of_one_image_is_judged_on_the_others(tmp_path: Path) -> None:
    """One row without an age used to hide that age alone tells the groups apart."""
    cohort = plant(tmp_path, train=0, val=0, healthy=12, anomalous=12)
    for number, row in enumerate(cohort.rows):
        row["age"] = str((70 if row["label"] == "anomalous" else 30) + number % 5)
    assert cohort.examine()["confound.age"].n == 24
    cohort.rows[3]["age"] = ""
    assert cohort.examine()["confound.age"].n == 23
