"""The script that compares kept rows seed by seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.scripts import script
from tests.evaluation.scenes import written
from unlesion.evaluation import compare
from unlesion.files import read_json, write_json

seeds = script("seeds")


def keep(
    folder: Path, method: str, seed: int, *, test: str = "now", precision: str = "32-true", **settings: object
) -> Path:
    """A row and its evaluation, as `bench --results` leaves them."""
    place = folder / f"{method}-seed{seed}-{test}"
    written(place, **settings)
    row = {
        "method": method,
        "seed": seed,
        "identity": {"test": test},
        "metrics": {"record": {"precision": precision}},
    }
    write_json(place.with_suffix(".json"), row)
    return place


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rows")
    for seed, contrast in ((0, 2.0), (1, 1.5)):
        keep(out, "weak", seed, contrast=1.0)
        keep(out, "strong", seed, contrast=contrast)
    # Of another test set, with one seed only.
    keep(out, "weak", 2, test="before", contrast=1.0)
    keep(out, "strong", 2, test="before", contrast=2.0)
    keep(out, "alone", 0, precision="bf16-mixed", contrast=1.0)
    return out


def test_a_line_a_seed_and_their_mean(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seeds.main([str(folder), "strong:weak"])
    said = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()]
    assert [cells[:2] for cells in said[2:]] == [
        ["`strong` minus `weak`", name] for name in ("0", "1", "mean")
    ]
    found = []
    for seed, cells in zip((0, 1), said[2:4], strict=True):
        pair = compare([folder / f"weak-seed{seed}-now", folder / f"strong-seed{seed}-now"])[0].get(
            "voxel.ap"
        )
        assert pair is not None and pair.difference is not None and pair.ci is not None
        assert cells[2] == f"{pair.difference:+.3f} [{pair.ci[0]:+.3f}, {pair.ci[1]:+.3f}]"
        found.append(pair.difference)
    value, ends = said[4][2].split(" ", 1)
    assert float(value) == pytest.approx(np.mean(found), abs=6e-4)
    low, high = (float(end) for end in ends.strip("[]").split(", "))
    assert low < float(value) < high
    # All are healed alike, and four subjects with a lesion give no interval.
    assert {cells[-1] for cells in said[2:]} == {"+0.000"}


def test_one_seed_has_no_mean_and_what_is_not_there_is_named(folder: Path) -> None:
    (line,) = seeds.lines(folder, "alone", "weak")
    assert line.startswith("| `alone` minus `weak` | 0 (bf16-mixed, 32-true) |")
    with pytest.raises(SystemExit, match="no seed with rows of both strong and nobody"):
        seeds.main([str(folder), "strong:nobody"])
    with pytest.raises(SystemExit, match="name two rows"):
        seeds.main([str(folder), "strong:"])


def test_every_seed_of_both_where_they_are_not_the_same(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The mean of two seeds minus the only one of the other; a single pair is what `compare` says of it."""
    seeds.main([str(folder), "strong:alone", "alone:alone", "--every"])
    mean, same = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    found = [
        compare([folder / "alone-seed0-now", folder / f"strong-seed{seed}-now"])[0].get("voxel.ap").difference
        for seed in (0, 1)
    ]
    assert mean[1] == "2 and 1" and mean[2].startswith(f"{np.mean(found):+.3f} [")
    assert same[2] == "+0.000 [+0.000, +0.000]"


def test_of_several_rows_of_a_seed_the_newest_version_counts(tmp_path: Path) -> None:
    for version, test in ((3, "now"), (2, "nowadays")):
        place = keep(tmp_path, "new", 0, test=test, contrast=float(version))
        row = read_json(place.with_suffix(".json"))
        row["identity"] = {"test": "now", "method_version": version}
        write_json(place.with_suffix(".json"), row)
    keep(tmp_path, "weak", 0, contrast=1.0)
    ((one, _),) = seeds.evaluations(tmp_path, "new", "weak").values()
    assert one.name == "new-seed0-now"


def test_a_label_alone_is_what_it_has_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, ap in ((0, 0.2), (1, 0.4)):
        place = keep(tmp_path, "alone", seed, contrast=1.0)
        row = read_json(place.with_suffix(".json"))
        row["metrics"] = {"voxel": {"ap": {"value": ap}, "ap_scan": {"value": 2 * ap}}}
        write_json(place.with_suffix(".json"), row)
    seeds.main([str(tmp_path), "alone"])
    assert capsys.readouterr().out.splitlines()[-1] == "| `alone` | 2 | 0.300, –, 0.600; –, – |"
    with pytest.raises(SystemExit, match="no rows of nobody"):
        seeds.main([str(tmp_path), "nobody"])
