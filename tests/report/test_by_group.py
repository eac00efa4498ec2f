from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tests.report import scenes
from tests.report.test_pages import EVIL, check
from unlesion.report.by_group import by_column, group_name
from unlesion.report.evaluation_page import write_evaluation_page
from unlesion.report.explain import metric_tables
from unlesion.report.forest import Panel, forest


def page_text(path: Path, metrics: dict[str, Any]) -> str:
    page = write_evaluation_page(path, metrics=metrics)
    return re.sub(r"\s+", " ", check(page).text)


def svg(address: str) -> str:
    head, body = address.split(",", 1)
    return base64.b64decode(body).decode() if "base64" in head else unquote(body)


def test_a_page_with_groups(tmp_path: Path) -> None:
    text = page_text(tmp_path / "report.html", {**scenes.metrics(), **scenes.by_group()})
    for words in (
        "By group",
        "By pathology",
        "acute stroke",
        "12 subjects, 24 scans",
        "0.600 to 0.800",
        "By size of the lesions",
        "0.1–1 ml",
        "against all healthy scans",
        "3 scans without a known size are in no row.",
        "1 scan without a known site is in no row.",
        "Not shown, because they are smaller: y, z.",
        "12 subjects, 24 scans, 10 of them healthy",
        "1 to 1.5",
    ):
        assert words in text, words
    assert "By age" not in text


@pytest.mark.parametrize("by", [{}, {"by": {}}, {"by": None}, {"by": {"site": {}}}])
def test_a_page_without_groups(tmp_path: Path, by: dict[str, Any]) -> None:
    assert "By group" not in page_text(tmp_path / "report.html", {**scenes.metrics(), **by})


def test_groups_are_in_no_other_table() -> None:
    metrics = {**scenes.metrics(), **scenes.by_group()}
    assert [title for title, _ in metric_tables(metrics)] == [
        title for title, _ in metric_tables(scenes.metrics())
    ]


def test_maps_of_anybody_say_how_they_were_measured(tmp_path: Path) -> None:
    maps = {**scenes.metrics(), "record": {}}
    assert "unlesion evaluate MAPS COHORT --split test --out measured" in page_text(
        tmp_path / "measured" / "r.html", maps
    )
    assert "unlesion evaluate RUN COHORT --split test" in page_text(tmp_path / "r.html", scenes.metrics())
    assert "unlesion evaluate" not in page_text(tmp_path / "r.html", {"voxel": {}})


def test_names_of_groups_are_escaped(tmp_path: Path) -> None:
    found = scenes.by_group()
    found["by"]["site"][EVIL] = scenes.group(0.3)
    found["by"][EVIL] = {EVIL: scenes.group(0.3)}
    found["grouping"]["site"]["groups_left_out"] = [EVIL]
    assert EVIL in page_text(tmp_path / "report.html", {**scenes.metrics(), **found})


def test_columns_and_cells() -> None:
    pathology, size, site = by_column(scenes.by_group())
    assert pathology.columns == ["voxel AP", "guessing", "lesions found", "image AUROC", "healing"]
    # What is about healthy scans stands only where groups hold some.
    assert "realised at 1 %" in site.columns and "realised at 1 %" not in size.columns
    cells = {row.name: dict(zip(pathology.columns, row.cells, strict=True)) for row in pathology.rows}
    assert cells["acute stroke"]["voxel AP"] == ("0.700", "0.600 to 0.800")
    assert cells["iso-intense"]["voxel AP"] == ("0.100", "")
    assert cells["x"]["voxel AP"] == ("–", "")
    assert cells["x"]["healing"] == ("-0.200", "")
    assert [row.name for row in site.rows] == ["a", "b.c"]


def bare() -> dict[str, Any]:
    """A group with voxel AP and nothing else."""
    return {"n": {"subjects": scenes.metric(2)}, "voxel": {"ap": scenes.metric(0.5)}}


def test_nothing_defined_draws_nothing() -> None:
    nothing = {"n": {"subjects": scenes.metric(2)}, "voxel": {"ap": scenes.metric(None)}}
    (column,) = by_column({"by": {"sex": {"F": nothing, "M": nothing}}})
    assert column.figure is None and column.columns == []
    assert [row.rests_on for row in column.rows] == ["2 subjects", "2 subjects"]


def test_ranges_get_the_dash_of_ranges() -> None:
    assert group_name("20-39") == "20–39"
    assert group_name("0.1-1 ml") == "0.1–1 ml"
    assert group_name("iso-intense") == "iso-intense"


def test_the_forest_shows_every_group() -> None:
    def panel(*values: float | None, **settings: Any) -> Panel:
        ends = [None if v is None else (v - 0.1, v + 0.1) for v in values]
        return Panel(
            label="voxel AP", values=values, intervals=ends, guessing=[0.02] * len(values), **settings
        )

    assert forest([], []) is None and forest(["a"], []) is None
    one = forest(["a\n5 subjects", "b"], [panel(0.3, None, ends=(0.0, 1.0))])
    two = forest(["a\n5 subjects", "b"], [panel(0.3, 0.4, ends=(0.0, 1.0)), panel(-0.5, 0.2)])
    assert one is not None and two is not None
    assert one == forest(["a\n5 subjects", "b"], [panel(0.3, None, ends=(0.0, 1.0))])
    width = [float(re.search(r'width="([\d.]+)pt"', svg(image))[1]) for image in (one, two)]  # type: ignore[index]
    assert width[0] < width[1]
    # On the page letters are equally large: it is as wide as the figure, in pixels.
    one_panel, three = (by_column({"by": {"sex": {"F": g}}})[0].width for g in (bare(), scenes.group(0.5)))
    assert width[0] / one_panel == pytest.approx(72 / 95, rel=0.01) and three > 2 * one_panel


def test_lesions_by_size_have_a_table_of_their_own(tmp_path: Path) -> None:
    """Names of bands hold dots, by which other places in the file are told apart."""
    sizes = {
        "<0.1 ml": {"value": 0.25, "ci": [0.1, 0.5], "lesions": 12, "found": 3},
        "5-20 ml": {"value": 1.0, "ci": None, "lesions": 2, "found": 2},
    }
    told = scenes.metrics()
    told.setdefault("lesion", {})["recall_by_size"] = sizes
    page = write_evaluation_page(tmp_path / "page.html", metrics=told, rows=scenes.scan_rows()).read_text()
    assert "Lesions by size" in page and "3 of 12" in page and "0.100 to 0.500" in page and "2 of 2" in page
    assert "Further" not in page and "recall_by_size" not in page
