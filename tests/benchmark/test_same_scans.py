"""The same scans through every method: which they are, what is kept of them, and the page."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cohorts import write_pictures
from unlesion.benchmark.same_scans import choose_scans, small_to_large, spread
from unlesion.cli.app import run
from unlesion.report.bench_page import write_bench_page
from unlesion.report.bench_pictures import pictures_of
from unlesion.report.gallery import Gallery, GalleryCase
from unlesion.report.page import Budget


def rows(*sizes: float | None, healthy: int = 3, pathology: str = "stroke") -> list[dict[str, str]]:
    """Of scans.csv: a scan a size (None: nobody marked it), and healthy ones."""
    ill = [
        {
            "key": f"{pathology}{number}",
            "label": "anomalous",
            "pathology": pathology,
            "lesion_ml": "" if size is None else str(size),
            "lesion_voxels": "" if size is None else str(int(100 * size)),
        }
        for number, size in enumerate(sizes)
    ]
    return ill + [{"key": f"well{number}", "label": "healthy"} for number in range(healthy)]


def test_from_small_lesions_to_large_and_a_healthy_scan() -> None:
    many = rows(*[float(size) for size in range(50, 0, -1)])
    chosen = choose_scans(many)
    sizes = [float(row["lesion_ml"]) for key in chosen[:-1] for row in many if row["key"] == key]
    assert sizes == sorted(sizes) and len(sizes) == 5 and sizes[0] < 10 < 40 < sizes[-1]
    assert chosen[-1] == "well1"


def test_every_pathology_has_a_part() -> None:
    many = rows(*range(20, 40)) + rows(*range(1, 20), pathology="glioma", healthy=0)
    names = {re.sub(r"\d", "", key) for key in choose_scans(many)}
    assert names == {"glioma", "stroke", "well"}


def test_lesions_outside_the_region_are_not_shown() -> None:
    assert choose_scans(rows(0.0, 2.0, 0.0, healthy=0)) == ["stroke1"]


@pytest.mark.parametrize(
    ("many", "wanted"),
    [
        (rows(None, None, None, healthy=1), ["stroke0", "stroke1", "stroke2", "well0"]),
        (rows(healthy=2), ["well0", "well1"]),
        ([], []),
    ],
)
def test_without_marks_and_without_lesions(many: list[dict[str, str]], wanted: list[str]) -> None:
    assert choose_scans(many) == wanted


@given(
    st.dictionaries(st.text(max_size=3), st.lists(st.floats(0, 1e3), max_size=9), max_size=5),
    st.integers(0, 9),
)
def test_never_twice_and_in_order(kinds: dict[str, list[float]], shown: int) -> None:
    items = {
        kind: [(size, (kind, place)) for place, size in enumerate(sizes)] for kind, sizes in kinds.items()
    }
    chosen = small_to_large(items, shown)
    total = sum(map(len, kinds.values()))
    assert len({item for _, item in chosen}) == len(chosen) == min(shown, total)
    assert [size for size, _ in chosen] == sorted(size for size, _ in chosen)


@given(st.integers(0, 50), st.integers(0, 50))
def test_places_are_spread(length: int, count: int) -> None:
    places = spread(length, min(length, count))
    assert len(set(places)) == len(places) == min(length, count)
    assert all(0 <= place < length for place in places)


SPEC = """
methods: [atlas, {name: intensity, label: first}, {name: intensity, label: second, set: [scoring.post.median_mm=0]}]
steps: 30
set: [recipe.size=32]
cohorts:
  - {name: blobs, path: blobs, recipe: slices}
"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("same")
    write_pictures(folder / "blobs", train=6, val=3, healthy=6, anomalous=8)
    (folder / "spec.yaml").write_text(SPEC)
    assert call(folder, "out") == 0
    return folder


def call(folder: Path, out: str) -> int:
    words = ["bench", str(folder / "spec.yaml"), "--out", str(folder / out), "--jobs", "1", "--quiet"]
    return run([*words, "--results", str(folder / "results")])


def test_a_bench_shows_every_method_the_same_scans(bench: Path) -> None:
    made = {
        name: Gallery.load(bench / "out" / "evaluations" / "blobs" / f"{name}-seed0" / "same_scans")
        for name in ("atlas", "first", "second")
    }
    keys = [case.key for case in made["atlas"].cases]
    assert len(keys) == 6 and [case.kind for case in made["atlas"].cases] == ["lesion"] * 5 + ["healthy"]
    for gallery in made.values():
        assert [case.key for case in gallery.cases] == keys and gallery.calibrated
    for one, other in zip(made["first"].cases, made["second"].cases, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
    page = (bench / "out" / "report.html").read_text()
    assert "The same scans through every method" in page
    for name in ("atlas", "first", "second"):
        assert page.count(f"{name}: anomaly map of ") == 6
    assert page.count("atlas: pseudo-healthy image of ") == 6
    # The grey value draws none.
    assert "first: pseudo-healthy image of " not in page and page.count("draws none") == 12


def test_known_rows_are_named_as_without_pictures(bench: Path) -> None:
    (bench / "results" / "blobs").mkdir(exist_ok=True)
    for path in (bench / "results" / "blobs").glob("atlas*.json"):
        path.unlink()
    assert call(bench, "again") == 0
    page = (bench / "again" / "report.html").read_text()
    assert page.count("atlas: anomaly map of ") == 6
    assert "Without pictures: " in page
    words = page[page.index("Without pictures: ") :].partition("(")[0]
    assert "first" in words and "second" in words and "atlas" not in words


def case(key: str, *, healthy: bool = True, side: int = 20) -> GalleryCase:
    grey = np.random.default_rng(len(key)).random((side, side), dtype=np.float32)
    return GalleryCase(
        key=key,
        kind="lesion",
        image=grey,
        anomaly=2 * grey,
        healthy=grey if healthy else None,
        truth=grey > 0.9,
    )


def test_scans_that_one_method_could_not_use_leave_its_place_empty() -> None:
    whole = Gallery(cases=(case("a"), case("b")), threshold=1.0)
    part = Gallery(cases=(case("b", healthy=False),), threshold=1.0)
    shown = pictures_of([("one", part), ("two", whole), ("two", part), ("three", None)], Budget())
    assert shown is not None
    assert [scan["key"] for scan in shown["scans"]] == ["b", "a"]
    assert [row["method"] for row in shown["rows"]] == ["one", "two"]
    assert shown["rows"][0]["cells"][1] is None and shown["rows"][0]["cells"][0][0] is None
    assert all(address.startswith("data:image/png") for cell in shown["rows"][1]["cells"] for address in cell)
    assert shown["without"] == ["three"]


def test_methods_beyond_the_budget_are_named() -> None:
    gallery = Gallery(cases=(case("a"),), threshold=1.0)
    one = pictures_of([("one", gallery)], Budget())
    assert one is not None
    size = len(one["scans"][0]["tile"]) + sum(map(len, one["rows"][0]["cells"][0]))
    shown = pictures_of([("one", gallery), ("two", gallery)], Budget(left=size + 10))
    assert shown is not None
    assert [row["method"] for row in shown["rows"]] == ["one"] and shown["left_out"] == ["two"]


def test_without_any_picture_the_page_says_nothing_of_them(tmp_path: Path) -> None:
    assert pictures_of([("one", None)], Budget()) is None
    page = write_bench_page(tmp_path / "page.html", rows=[{"cohort": "x", "method": "one", "status": "done"}])
    assert "The same scans" not in page.read_text()


def test_names_are_escaped(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    row = {"cohort": evil, "method": evil, "seed": "0", "status": "done"}
    gallery = Gallery(cases=(case(evil),), threshold=1.0)
    page = write_bench_page(
        tmp_path / "page.html", rows=[row], galleries={(evil, evil, "0"): gallery}
    ).read_text()
    assert "anomaly map of" in page and "<script>alert" not in page


def test_every_cohort_has_its_part_of_the_page(tmp_path: Path) -> None:
    """The first cohorts took all of it, and a page that became too large was none."""
    many, methods = [f"c{number}" for number in range(30)], [f"m{number}" for number in range(16)]
    noise = Gallery(cases=tuple(case(f"s{number}", side=160) for number in range(6)), threshold=1.0)
    rows = [
        {"cohort": cohort, "method": method, "seed": "0", "status": "done", "voxel_ap": "0.5"}
        for cohort in many
        for method in methods
    ]
    page = write_bench_page(
        tmp_path / "page.html", rows=rows, galleries={(c, m, "0"): noise for c in many[:3] for m in methods}
    )
    text = page.read_text()
    assert page.stat().st_size < 10_000_000
    # Where not even one method fits, it says where pictures are.
    assert text.count("they are left out to keep this page small") == 3
    few = [row for row in rows if row["cohort"] in many[:2]]
    text = write_bench_page(
        tmp_path / "few.html", rows=few, galleries={(c, m, "0"): noise for c in many[:2] for m in methods}
    ).read_text()
    assert text.count("The same scans through every method</h3>") == 2
    assert text.count("Left out to keep this page small: ") == 2


def test_scans_that_nobody_marked_are_said_to_be_taken_by_name(tmp_path: Path) -> None:
    plain = replace(case("a"), truth=None)
    row = {"cohort": "x", "method": "one", "seed": "0", "status": "done"}
    for shown, words in ((plain, "evenly from their names"), (case("a"), "go from small to large")):
        gallery = Gallery(cases=(shown,), threshold=1.0)
        page = write_bench_page(tmp_path / "p.html", rows=[row], galleries={("x", "one", "0"): gallery})
        assert words in " ".join(page.read_text().split())
