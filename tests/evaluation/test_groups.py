from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.scenes import scans
from unlesion.evaluation import EvaluatedScan, Evaluator, groups
from unlesion.evaluation.groups import COLUMNS, age_band, cell_of, groups_of, size_band


def sick(**changes: object) -> EvaluatedScan:
    return replace(next(s for s in scans() if s.label == "anomalous"), **changes)  # type: ignore[arg-type]


def thick(ml: float, **changes: object) -> EvaluatedScan:
    """A volume of 4 slices of 1000 voxels, of 1 ml each voxel if `ml` is 1, with one lesion voxel."""
    roi = np.ones((25, 40, 4), bool)
    lesions = np.zeros_like(roi)
    lesions[3, 3, 1] = True
    edge = 10.0 * ml ** (1 / 3)
    return sick(roi=roi, lesions=lesions, spacing=(edge, edge, edge), **changes)


@pytest.mark.parametrize(
    ("text", "band"),
    [("19.9", "<20"), ("20", "20-39"), ("39", "20-39"), ("60", "60-79"), ("80", "80+"), ("89+", "80+"), ("054Y", "40-59")]
    + [(text, "") for text in ("", "n/a", "old", "-3", "1e2", "nan")],
)  # fmt: skip
def test_bands_of_age(text: str, band: str) -> None:
    assert age_band(text) == band


@pytest.mark.parametrize(
    ("ml", "band"),
    [(0.05, "<0.1 ml"), (0.5, "0.1-1 ml"), (1.01, "1-5 ml"), (19.0, "5-20 ml"), (21.0, ">20 ml")],
)
def test_bands_of_size_on_the_grid(ml: float, band: str) -> None:
    assert size_band(thick(ml)) == band
    # What was measured on the grid counts more than what the manifest says.
    assert size_band(thick(ml, columns={"size_ml": "100"})) == band


def test_a_slice_has_no_volume_but_the_manifest_may_know_it() -> None:
    one = sick()
    assert one.roi.shape[2] == 1 and one.spacing is not None
    share = one.truth.sum() / one.roi.sum()  # type: ignore[union-attr]
    assert 0.02 < share < 0.05
    assert size_band(one) == "2-5 % of roi"
    assert size_band(replace(one, columns={"size_ml": "0.07"})) == "<0.1 ml"
    for unknown in ("", "0", "large", "nan"):
        assert size_band(replace(one, columns={"size_ml": unknown})) == "2-5 % of roi"


def test_no_size_without_a_lesion_that_counts() -> None:
    one = sick()
    assert size_band(replace(one, lesions=np.zeros_like(one.roi), columns={"size_ml": "3"})) == ""
    assert size_band(replace(one, lesions=None)) == ""
    assert size_band(replace(one, lesions=None, columns={"size_ml": "3"})) == "1-5 ml"


def test_a_healthy_scan_has_neither_pathology_nor_size() -> None:
    columns = {"site": " a ", "sex": "n/a", "source": "x", "modality": "T1", "age": "30", "size_ml": "3"}
    cell = dict(zip(COLUMNS, cell_of(sick(label="healthy", columns=columns)), strict=True))
    assert cell == {
        "pathology": "", "size_band": "", "modality": "T1", "source": "x", "site": "a", "sex": "",
        "age_band": "20-39",
    }  # fmt: skip
    cell = dict(zip(COLUMNS, cell_of(sick(columns=columns)), strict=True))
    assert (cell["pathology"], cell["size_band"]) == ("square", "1-5 ml")


def numbers(column: str, **scans_of: int) -> dict[groups.Cell, int]:
    return {tuple(value if name == column else "" for name in COLUMNS): n for value, n in scans_of.items()}


def test_bands_in_their_order_and_names_alphabetically() -> None:
    found, beyond = groups_of(numbers("age_band", **{"80+": 1, "<20": 1, "40-59": 1, "20-39": 1}), "age_band")
    assert list(found) == ["<20", "20-39", "40-59", "80+"] and beyond == []
    mixed = {"2-5 % of roi": 1, "<0.1 ml": 1, ">20 ml": 1, "<0.5 % of roi": 1}
    assert list(groups_of(numbers("size_band", **mixed), "size_band")[0]) == [
        "<0.1 ml", ">20 ml", "<0.5 % of roi", "2-5 % of roi",
    ]  # fmt: skip
    assert list(groups_of(numbers("site", b=1, A=9, c=3), "site")[0]) == ["A", "b", "c"]
    assert groups_of(numbers("site", b=1), "sex")[0] == {}


def test_only_the_largest_groups_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "MOST_GROUPS", 2)
    found, beyond = groups_of(numbers("site", a=1, b=5, c=1, d=7), "site")
    assert (list(found), beyond) == (["b", "d"], ["a", "c"])


def test_groups_that_are_left_out_are_not_unknown() -> None:
    """Scans of the smaller sites were counted among those without a known site."""
    evaluator = Evaluator()
    for number, scan in enumerate(scans(subjects=groups.MOST_GROUPS + 4, rows=1)):
        site = "" if number == 0 else f"site{number:02d}"
        evaluator.add(replace(scan, columns={"site": site}))
    told = evaluator.finish().metrics["grouping"]["site"]
    assert told["scans_in_no_group"] == 1
    assert len(told["groups_left_out"]) == 3
