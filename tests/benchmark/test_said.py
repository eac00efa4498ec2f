"""What a benchmark says of scans, splits and recipes that are not as they should be, and what it does not keep."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.benchmark.test_bench import CLOSED, bench_in, rows_of
from tests.cohorts import write_pictures


@pytest.fixture
def small(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "blobs", train=6, val=3, healthy=6, anomalous=6)
    return tmp_path


def test_a_row_with_scans_left_out_is_not_kept(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It stood as done, was kept, and was never measured again."""
    broken = max(path for path in (small / "blobs").glob("*.png") if "mask" not in path.name)
    whole = broken.read_bytes()
    broken.write_bytes(whole[:40])
    words = ("--results", str(small / "results"))
    spec = CLOSED.replace("methods: [intensity, {name: atlas, preset: tiny}]", "methods: [intensity]")
    assert bench_in(small, spec, "out", *words) == 2
    assert "1 row of 1 left out scans" in capsys.readouterr().err
    assert rows_of(small / "out")["intensity"]["left_out"] == "1"
    assert not list((small / "results").rglob("*.json"))
    assert "1 test scan could not be used" in (small / "out" / "report.html").read_text()
    broken.write_bytes(whole)
    assert bench_in(small, spec, "out", "--resume", *words) == 0
    assert rows_of(small / "out")["intensity"]["left_out"] == "0"
    assert list((small / "results").rglob("*.json"))


def test_a_recipe_file_lies_beside_the_spec(small: Path) -> None:
    from unlesion.prepare import load_recipe

    (small / "mine.yaml").write_text(yaml.safe_dump(load_recipe("slices", {}).model_dump(mode="json")))
    spec = CLOSED.replace("recipe: slices", "recipe: mine.yaml").replace(
        "methods: [intensity, {name: atlas, preset: tiny}]", "methods: [intensity]"
    )
    assert bench_in(small, spec, "out") == 0


def test_a_split_without_scans_is_said_in_words_of_the_spec(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench_in(small, CLOSED.replace('"val,test"', "other"), "out") == 2
    assert "no scans in split other to test on" in capsys.readouterr().err


def test_warnings_of_a_cohort_are_said_once_even_if_quiet(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = (small / "blobs" / "manifest.csv").read_text().splitlines()
    names = rows[0].split(",")
    kept = [
        ",".join(cell for cell, name in zip(row.split(","), names, strict=True) if name != "subject")
        for row in rows
    ]
    (small / "blobs" / "manifest.csv").write_text("\n".join(kept) + "\n")
    bench_in(small, CLOSED, "out")
    assert capsys.readouterr().err.count("no column 'subject'") == 1


def test_a_reference_with_scans_left_out_is_still_compared_with(small: Path) -> None:
    """One scan that could not be read took away every difference, and gave another reason."""
    broken = max(path for path in (small / "blobs").glob("*.png") if "mask" not in path.name)
    broken.write_bytes(broken.read_bytes()[:40])
    assert bench_in(small, CLOSED, "out") == 2
    row = rows_of(small / "out")["atlas"]
    assert row["versus_note"] == "" and row["versus_reference"] != ""
    assert "could not be used" in (small / "out" / "leaderboard.md").read_text()


def test_a_row_that_differs_in_scoring_alone_takes_the_weights_that_are_there(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run that had learnt the same was deleted first."""
    spec = CLOSED.replace("{name: atlas, preset: tiny}", "{name: ae, preset: tiny}")
    assert bench_in(small, spec, "out") == 0
    run = small / "out" / "runs" / "blobs" / "ae-seed0"
    weights = (run / "weights.safetensors").read_bytes()
    other = spec.replace("{name: ae, preset: tiny}", "{name: ae, preset: tiny, set: [scoring.sign=bright]}")
    told: list[str] = []
    monkeypatch.setattr("unlesion.cli.console.Console.tell", lambda self, words: told.append(words))
    assert bench_in(small, other, "out", "--resume") == 0
    assert any("learnt already, by" in words for words in told)
    assert (run / "weights.safetensors").read_bytes() == weights
    assert [path.name for path in run.parent.iterdir() if "ae" in path.name] == ["ae-seed0"]
