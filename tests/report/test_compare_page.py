from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.report.scenes import case, gallery
from tests.report.test_pages import EVIL, check
from unlesion.errors import BadInput
from unlesion.report import Gallery, build_report
from unlesion.report.compare_page import write_compare_page


def pair(
    first: str = "ae",
    second: str = "dae",
    value: float | None = 0.1,
    ci: tuple[float, float] | None = (0.02, 0.2),
    **more: Any,
) -> dict[str, Any]:
    ap = {
        "first": 0.4,
        "second": None if value is None else 0.4 + value,
        "value": value,
        "ci": ci,
        "p_value": 0.03,
    }
    undefined = {
        "first": None,
        "second": None,
        "value": None,
        "ci": None,
        "p_value": None,
        "why": "all anomalous",
    }
    differences = {"voxel.ap": ap, "image.auroc": undefined}
    return {
        "first": first,
        "second": second,
        "scoring": "native",
        "subjects": 14,
        "differences": differences,
        **more,
    }


def test_one_pair_says_who_is_ahead_and_shows_the_scans_of_both(tmp_path: Path) -> None:
    galleries = [("ae", gallery()), ("dae", gallery())]
    page = check(write_compare_page(tmp_path / "p.html", comparisons=[pair()], galleries=galleries))
    assert (
        "In AP (voxels), dae is ahead of ae: dae minus ae is +0.100 [+0.020, +0.200] (14 subjects)."
        in page.text
    )
    assert "all anomalous" in page.text and "may have been chosen for what was found" in page.text
    # A figure; five scans; of each method an image and a map of each.
    assert page.seen.count("img") == 1 + 5 + 2 * 5 * 2


@pytest.mark.parametrize(
    ("value", "ci", "words"),
    [
        (-0.1, (-0.2, -0.02), "ae is ahead of dae: dae minus ae is -0.100"),
        (0.1, (-0.1, 0.3), "dae and ae cannot be told apart"),
        (0.1, None, "no difference has an interval"),
        (None, None, "no difference has an interval"),
    ],
)
def test_nothing_is_claimed_that_its_interval_does_not_say(
    tmp_path: Path, value: float | None, ci: tuple[float, float] | None, words: str
) -> None:
    page = check(write_compare_page(tmp_path / "p.html", comparisons=[pair(value=value, ci=ci)]))
    assert words in page.text
    assert "The same scans" not in page.text


def test_groups_stand_in_one_figure_a_metric_and_are_not_corrected(tmp_path: Path) -> None:
    comparisons = [pair(by="site", group=EVIL), pair(by="site", group="south", subjects=3)]
    page = check(write_compare_page(tmp_path / "p.html", comparisons=comparisons))
    assert "not corrected for there being 2 comparisons" in page.text
    assert "fewer than 5 subjects are compared (fewest: 3)" in page.text
    assert "dae minus ae, site south" in page.text
    # Of the metric that is undefined everywhere there is none.
    assert page.seen.count("img") == 1


def test_only_the_same_slices_stand_side_by_side(tmp_path: Path) -> None:
    one, two = case("a/b"), case("c/d")
    other = replace(one, image=one.image[:, ::-1].copy())
    galleries = [
        ("x", Gallery(cases=(one, two), threshold=1.0)),
        ("x", Gallery(cases=(other, two), threshold=2.0)),
    ]
    page = check(write_compare_page(tmp_path / "p.html", comparisons=[pair()], galleries=galleries))
    assert page.seen.count("img") == 1 + 1 + 2 * 2
    # Runs of one name are told apart.
    assert "1: x" in page.text and "2: x" in page.text
    none = [galleries[0], ("y", Gallery(cases=(other,), threshold=1.0))]
    assert (
        "The same scans"
        not in check(write_compare_page(tmp_path / "p.html", comparisons=[pair()], galleries=none)).text
    )


def test_report_makes_it_again_with_the_pictures_that_are_still_there(tmp_path: Path) -> None:
    for name in ("ae", "dae"):
        gallery().save(tmp_path / name / "same_scans")
    words = {
        "evaluations": [{"name": name, "folder": str(tmp_path / name)} for name in ("ae", "dae")],
        "comparisons": [pair()],
    }
    place = tmp_path / "compare.json"
    place.write_text(json.dumps(words))
    assert "Chosen without looking at any map" in check(build_report(tmp_path)).text
    (tmp_path / "dae" / "same_scans" / "gallery.json").write_text("{")
    assert "The same scans" not in check(build_report(tmp_path)).text
    place.write_text(json.dumps({"comparisons": [{"first": "ae"}]}))
    with pytest.raises(BadInput, match="compare again"):
        build_report(tmp_path)
