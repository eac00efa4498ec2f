"""The script that ranks all methods of a cohort from the rows that are kept."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.scripts import script
from unlesion.errors import BadInput
from unlesion.files import write_json

standing = script("standing")


def keep(folder: Path, method: str, ap: float, *, seed: int = 0, version: int = 1, **more: Any) -> None:
    scoring = {"standardise": more.pop("standardise", False)}
    identity = {"test": more.pop("test", "now"), "method_version": version, "scoring": scoring}
    values = {"voxel_ap": ap, "voxel_ap_lo": ap - 0.1, "voxel_ap_hi": ap + 0.1, "steps": 7, "cohort": "c"}
    number = len(list(folder.glob("*.json"))) if folder.exists() else 0
    row = {"method": method, "seed": seed, "status": "done", "identity": identity, **values, **more}
    write_json(folder / f"{method}-{number}.json", row)


def test_one_row_a_method_the_newest_first_among_the_best(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "c"
    keep(folder, "dae", 0.5)
    keep(folder, "vae", 0.9, standardise=False)
    keep(folder, "vae", 0.6, standardise=True)
    keep(folder, "dal", 0.8, version=1, standardise=True)
    keep(folder, "dal", 0.4, version=2)
    keep(folder, "atlas", 0.99, test="before")
    keep(folder, "ra", 0.95, seed=1)
    keep(folder, "ablation", 0.97)
    path = tmp_path / "out" / "standing.csv"
    standing.main([str(tmp_path), "c", "voxel_ap", "--without", "ablation", "--csv", str(path)])
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "| rank | method | steps | voxel AP |"
    assert said[2:] == [
        "| 1 | vae | 7 | 0.600 [0.500, 0.700] |",
        "| 2 | dae | 7 | 0.500 [0.400, 0.600] |",
        "| 3 | dal (version 2) | 7 | 0.400 [0.300, 0.500] |",
    ]
    # Of a label that is asked for plainly, the row that is not read against healthy scans.
    standing.main([str(tmp_path), "c", "voxel_ap", "--without", "ablation", "--plain", "vae"])
    assert capsys.readouterr().out.splitlines()[2] == "| 1 | vae | 7 | 0.900 [0.800, 1.000] |"
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["method"] for row in rows] == ["vae", "dae", "dal"]
    assert float(rows[0]["voxel_ap_lo"]) == 0.5


def test_what_cannot_rank_and_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="cannot rank"):
        standing.main([str(tmp_path), "c", "healthy_ssim"])
    with pytest.raises(BadInput, match="no rows of seed 0"):
        standing.rows_of(tmp_path / "c", without=[])
