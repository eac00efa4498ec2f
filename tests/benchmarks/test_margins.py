"""The script that tells how far one method is ahead of the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.scripts import script
from unlesion.errors import BadInput

margins = script("margins")


def row(cohort: str, method: str, seed: str = "0", **more: str) -> dict[str, str]:
    return {"cohort": cohort, "method": method, "seed": seed, "status": "done", **more}


def table(rows: list[dict[str, str]], *cohorts: str) -> str:
    text: str = margins.margins(margins.Table(rows, cohorts))
    return text


ROWS = [
    row("t2", "dal", voxel_ap="0.5", voxel_ap_lo="0.4", voxel_ap_hi="0.6", voxel_prevalence="0.01"),
    row("t2", "ae", voxel_ap="0.4", versus_reference="-0.1", versus_lo="-0.3", versus_hi="0.05"),
    {**row("t2", "vae"), "status": "failed"},
    row("patient", "dal", voxel_ap="0.25"),
    row("patient", "ae", voxel_ap="0.3", versus_reference="0.05", voxel_prevalence="0.02"),
    row("patient", "vae", versus_note="no paired interval: because"),
]


def test_margins_turn_the_sign_and_the_interval() -> None:
    lines = table(ROWS).splitlines()
    assert lines[0] == "| `dal` minus | t2 | patient |"
    assert lines[2] == "| `ae` | +0.100 [-0.050, +0.300] | -0.050 |"
    assert lines[3] == "| `vae` | – | – |"
    assert table(ROWS, "patient").splitlines()[2] == "| `ae` | -0.050 |"


def test_what_each_has_stands_beside_guessing() -> None:
    lines = margins.own(margins.Table(ROWS), "voxel_ap").splitlines()
    assert lines[0] == "| voxel ap | t2 | patient |"
    assert lines[2:5] == [
        "| `dal` | 0.500 [0.400, 0.600] | 0.250 |",
        "| `ae` | 0.400 | 0.300 |",
        "| `vae` | – | – |",
    ]
    assert lines[5] == "| guessing | 0.010 | 0.020 |"
    assert "guessing" not in margins.own(margins.Table(ROWS), "image_auroc")


def test_seeds_are_columns() -> None:
    more = [{**one, "seed": "1"} for one in ROWS]
    assert table([*ROWS, *more]).splitlines()[0] == (
        "| `dal` minus | t2 | patient | t2, seed 1 | patient, seed 1 |"
    )


def test_what_cannot_be_tabulated(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="reference"):
        table([row("a", "ae", voxel_ap="1"), row("a", "vae", voxel_ap="1")])
    with pytest.raises(BadInput, match="no rows of t3"):
        table(ROWS, "t3")
    with pytest.raises(SystemExit, match="not a leaderboard"):
        margins.main([str(tmp_path / "nothing.csv")])
