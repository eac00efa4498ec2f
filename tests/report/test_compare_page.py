from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.report.scenes import case, gallery
from tests.report.test_pages import EVIL, Checker, check
from unlesion.errors import BadInput
from unlesion.report import Gallery, GalleryCase, build_report
from unlesion.report.compare_page import keep_pictures, write_compare_page


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
    galleries = [("$a$e", gallery()), ("dae", gallery())]
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


def shown(folder: Path, *cases: GalleryCase, where: str = "gallery") -> Path:
    Gallery(cases=cases, threshold=1.0).save(folder / where)
    return folder


def made(out: Path, *folders: Path) -> Checker:
    """The page as the verb makes it, of evaluations whose names are those of their folders."""
    keep_pictures([(folder.name, folder) for folder in folders], out)
    (out / "compare.json").write_text(json.dumps({"comparisons": [pair()]}))
    return check(build_report(out))


def test_only_the_same_slices_stand_side_by_side(tmp_path: Path) -> None:
    one, two = case("a/b"), case("c/d")
    other = replace(one, image=one.image[:, ::-1].copy())
    x, y = shown(tmp_path / "x", one, two), shown(tmp_path / "y", other, two)
    page = made(tmp_path, x, y)
    assert page.seen.count("img") == 1 + 1 + 2 * 2
    assert "may have been chosen for what was found" in page.text
    # Pictures of before do not stay.
    page = made(tmp_path, x, shown(tmp_path / "z", other))
    assert "The same scans" not in page.text and list((tmp_path / "pictures").iterdir()) == []


def test_a_healthy_scan_shown_for_its_false_alarms_has_no_lesions(tmp_path: Path) -> None:
    alarm = replace(case("a/b", "false_alarm"), truth=None)
    page = made(tmp_path, shown(tmp_path / "x", alarm), shown(tmp_path / "y", alarm))
    assert "healthy" in page.text.split("scan, truth")[0].rpartition("threshold")[2]
    assert "with lesions" not in page.text.split("scan, truth")[0].rpartition("The same scans")[2]


def test_the_page_needs_nothing_but_its_folder(tmp_path: Path) -> None:
    folders = [shown(tmp_path / name, case("a/b"), where="same_scans") for name in ("x", "y")]
    out = tmp_path / "out"
    assert "Chosen without looking at any map" in made(out, *folders).text
    for folder in folders:
        shutil.rmtree(folder)
    assert "Chosen without looking at any map" in check(build_report(out)).text
    (out / "pictures" / "names.json").write_text("{}")
    assert "The same scans" not in check(build_report(out)).text
    for damaged in ({"comparisons": [{"first": "ae"}]}, {}, {"comparisons": [pair(subjects=None)]}):
        (out / "compare.json").write_text(json.dumps(damaged))
        with pytest.raises(BadInput, match="compare again"):
            build_report(out)
