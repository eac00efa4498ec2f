from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.doctor.conftest import Planted


def _keys(rows: list[dict[str, str]]) -> list[str]:
    return [Path(row["path"]).stem for row in rows]


def test_masks_against_labels(cohort: Planted) -> None:
    healthy, sick = cohort.of("test"), cohort.of("test", "anomalous")
    cohort.save(sick[0]["mask_path"], np.zeros((48, 48), np.uint8))
    marked = np.zeros((48, 48), np.uint8)
    marked[20:25, 20:25] = 255
    cohort.save("marked.png", marked)
    healthy[0]["mask_path"] = "marked.png"
    sick[1]["mask_path"] = ""
    found = cohort.examine()
    assert found["mask.empty"].where == (_keys(sick)[0],)
    assert found["mask.empty"].level == "warning"
    assert found["mask.on-healthy"].where == (_keys(healthy)[0],)
    assert found["mask.on-healthy"].level == "error"
    assert found["mask.none"].where == (_keys(sick)[1],)


def test_an_empty_mask_of_a_healthy_scan_is_well(cohort: Planted) -> None:
    cohort.save("empty.png", np.zeros((48, 48), np.uint8))
    cohort.of("test")[0]["mask_path"] = "empty.png"
    assert not [code for code in cohort.examine() if code.startswith("mask.")]


def test_values_of_masks(cohort: Planted) -> None:
    sick = cohort.of("test", "anomalous")
    classes = np.zeros((48, 48), np.uint8)
    classes[20:24, 20:24], classes[24:28, 20:24] = 1, 4
    cohort.save(sick[0]["mask_path"], classes)
    fractions = np.zeros((48, 48), np.float32)
    fractions[20:24, 20:24] = 0.5
    cohort.save("fractions.tif", fractions)
    sick[1]["mask_path"] = "fractions.tif"
    found = cohort.examine()
    assert found["mask.not-binary"].where == (_keys(sick)[0],)
    assert "1, 4" in found["mask.not-binary"].what
    assert found["mask.not-labels"].where == (_keys(sick)[1],)


def test_places_of_masks(cohort: Planted) -> None:
    sick = cohort.of("test", "anomalous")
    corner = np.zeros((48, 48), np.uint8)
    corner[:6, :6] = 255
    cohort.save(sick[0]["mask_path"], corner)
    cohort.save(sick[1]["mask_path"], np.full((48, 48), 255, np.uint8))
    roi = np.zeros((48, 48), np.uint8)
    roi[:4] = 255
    cohort.save("roi.png", roi)
    sick[2]["roi_path"] = "roi.png"
    found = cohort.examine()
    assert _keys(sick)[0] in found["mask.outside-image"].where
    assert found["mask.fills-image"].where == (_keys(sick)[1],)
    assert found["mask.outside-roi"].where == (_keys(sick)[2],)


def test_classes_that_are_no_lesion(cohort: Planted) -> None:
    sick = cohort.of("test", "anomalous")
    classes = np.zeros((48, 48), np.uint8)
    classes[20:24, 20:24], classes[24:28, 20:24] = 1, 2
    for row in cohort.rows:
        row["mask_values"] = ""
    for row, values in zip(sick, ("1", "4"), strict=False):
        cohort.save(row["mask_path"], classes)
        row["mask_values"] = values
    found = cohort.examine()
    assert "mask.not-binary" not in found
    assert found["mask.empty"].where == (_keys(sick)[1],)
