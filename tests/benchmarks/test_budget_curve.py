"""The figure of a metric against the budget."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.scripts import script
from unlesion.files import write_json

curve = script("budget_curve")


def keep(folder: Path, label: str, value: float) -> None:
    row = {f"{metric}{end}": value + add for metric in curve.METRICS for end, add in ENDS}
    write_json(folder / f"{label}-seed0-abc.json", row)


ENDS = (("", 0.0), ("_lo", -0.1), ("_hi", 0.1))


def test_rows_by_line_and_minutes(tmp_path: Path) -> None:
    for label, value in (
        ("ra-5", 0.1),
        ("plain-5", 0.2),
        ("plain-30", 0.3),
        ("ra", 0.4),
        ("vae", 0.5),
        ("ra-x", 0.6),
    ):
        keep(tmp_path, label, value)
    keep(tmp_path / "other", "ra-60", 0.7)
    found = curve.rows_of(tmp_path)
    values = {line: {m: row["voxel_ap"] for m, row in rows.items()} for line, rows in found.items()}
    assert values == {"plain": {5: 0.2, 30: 0.3}, "ra": {5: 0.1, 10: 0.4}}

    curve.draw(found, tmp_path / "a.svg")
    curve.draw(found, tmp_path / "b.svg")
    drawn = (tmp_path / "a.svg").read_bytes()
    assert drawn == (tmp_path / "b.svg").read_bytes()
    assert drawn.startswith(b"<?xml") and len(drawn) > 5000
