"""The reference page tells what the phantom makes."""

from __future__ import annotations

from pathlib import Path

from unlesion.phantom import PATHOLOGIES, SCANNERS, STANDARD

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "phantom.md").read_text(encoding="utf-8")


def test_pathologies_with_their_sizes_in_their_order() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `") and " to " in line]
    told = [(row.split("`")[1], row.split("|")[2].strip()) for row in rows]
    made = [(kind.name, f"{kind.smallest_ml:g} to {kind.largest_ml:g}") for kind in PATHOLOGIES.values()]
    assert told[: len(made)] == made
    assert tuple(name for name, _ in told[:4]) == STANDARD


def test_scanners() -> None:
    assert all(f"| `{name}` |" in PAGE for name in SCANNERS)


def test_the_readme_counts_the_pathologies() -> None:
    words = (
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
    )
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert f"{words[len(PATHOLOGIES)]} pathologies" in readme
    smallest = min(kind.smallest_ml for kind in PATHOLOGIES.values())
    largest = max(kind.largest_ml for kind in PATHOLOGIES.values())
    assert f"of {smallest:g} to {largest:g} ml" in readme
