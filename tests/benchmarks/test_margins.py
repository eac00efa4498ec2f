"""The script that makes one table of margins."""

from __future__ import annotations

import pytest

from tests.benchmarks.scripts import script
from unlesion.errors import BadInput

margins = script("margins")


def row(cohort: str, method: str, seed: str = "0", **more: str) -> dict[str, str]:
    return {"cohort": cohort, "method": method, "seed": seed, "status": "done", **more}


ROWS = [
    row("t2", "dal", voxel_ap="0.5", voxel_ap_lo="0.4", voxel_ap_hi="0.6"),
    row("t2", "ae", voxel_ap="0.4", versus_reference="-0.1", versus_lo="-0.3", versus_hi="0.05"),
    {**row("t2", "vae"), "status": "failed"},
    row("patient", "dal", voxel_ap="0.25"),
    row("patient", "ae", voxel_ap="0.3", versus_reference="0.05"),
    row("patient", "vae", versus_note="no paired interval: because"),
]


def test_margins_turn_the_sign_and_the_interval() -> None:
    lines = margins.table(ROWS).splitlines()
    assert lines[0] == "| tested on | `dal` | minus `ae` | minus `vae` |"
    assert lines[2] == "| t2 | 0.500 [0.400, 0.600] | +0.100 [-0.050, +0.300] | – |"
    assert lines[3] == "| patient | 0.250 | -0.050 | – |"
    assert margins.table(ROWS, ("ae",)).splitlines()[0].endswith("| minus `ae` |")


def test_a_cohort_without_masks_shows_the_metric_of_its_margins() -> None:
    own = {"image_auroc": "0.6", "image_auroc_within": "0.7"}
    rows = [row("both", "dal", **own), row("both", "ae", **own, versus_reference="-0.1")]
    assert margins.table(rows).splitlines()[2] == "| both | 0.700 | +0.100 |"
    rows[0]["image_auroc_within"] = ""
    assert margins.table(rows).splitlines()[2] == "| both | 0.600 | +0.100 |"


def test_seeds_are_rows() -> None:
    more = [{**one, "seed": "1"} for one in ROWS]
    assert [line.split(" | ")[0] for line in margins.table([*ROWS, *more]).splitlines()[2:]] == [
        "| t2",
        "| patient",
        "| t2, seed 1",
        "| patient, seed 1",
    ]


def test_what_cannot_be_tabulated() -> None:
    with pytest.raises(BadInput, match="reference"):
        margins.table([row("a", "ae", voxel_ap="1"), row("a", "vae", voxel_ap="1")])
    with pytest.raises(BadInput, match="no rows of ra"):
        margins.table(ROWS, ("ra",))
