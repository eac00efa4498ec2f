"""A scan that fails in any way does not stop the others."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import pytest

from tests.cohorts import write_pictures
from unlesion.errors import BadInput, UnlesionError
from unlesion.prepare import load_recipe
from unlesion.scans import Cohort, Entry, Scan
from unlesion.settings import nested, parse_settings
from unlesion.sweep import Failures, sweep


@dataclass(frozen=True, kw_only=True)
class Deadly(Entry):
    """A scan that kills whoever reads it."""

    def read(self) -> Scan:
        os._exit(9)


@dataclass(frozen=True, kw_only=True)
class Faulty(Entry):
    """A scan that meets a fault of the program."""

    def read(self) -> Scan:
        raise RuntimeError("oops\nsecond line")


def test_a_fault_is_kept_with_its_scan(tmp_path: Path) -> None:
    good = Cohort.open(write_pictures(tmp_path, train=2, val=0, healthy=0, anomalous=0)).entries
    entries = [Faulty(key="f", paths=good[0].paths), *good]
    one, *others = sweep(entries, load_recipe("slices"))
    assert one.ours
    assert one.problem == "f: a failure of ours: RuntimeError: oops second line"
    assert "RuntimeError" in one.trace
    assert [swept.entry.key for swept in others] == [entry.key for entry in good]
    assert all(swept.prepared is not None for swept in others)


def test_a_killed_worker_is_one_clear_line(tmp_path: Path) -> None:
    entries = [Deadly(key="d", paths=(tmp_path / "d.png",))]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        with pytest.raises(UnlesionError, match="worker process died while reading scans, at one of d "):
            list(sweep(entries, load_recipe("slices"), executor=executor))


def test_failures_of_ours_outweigh_bad_input() -> None:
    said: list[str] = []
    failures = Failures(said.append)
    failures.settle("all is well")
    with failures.guard("a"):
        raise BadInput("a: bad")
    with pytest.raises(BadInput, match="some"):
        failures.settle("some")
    with failures.guard("b"):
        raise ZeroDivisionError("b")
    with pytest.raises(UnlesionError, match="1 by a failure of ours") as caught:
        failures.settle("some")
    assert caught.value.exit_code == 1
    assert list(failures.messages) == ["a", "b"]
    assert len(said) == 2


@pytest.mark.parametrize(
    "pairs",
    [
        ["scoring.post=1", "scoring.post.median_mm=3"],
        ["scoring.post.median_mm=3", "scoring.post=1"],
    ],
)
def test_a_value_and_settings_below_it(pairs: list[str]) -> None:
    with pytest.raises(BadInput, match="post"):
        nested(parse_settings(pairs)["scoring"])


def test_settings_below_a_mapping_are_joined() -> None:
    for pairs in (["scoring.post={a: 1}", "scoring.post.b=2"], ["scoring.post.b=2", "scoring.post={a: 1}"]):
        assert nested(parse_settings(pairs)["scoring"]) == {"post": {"a": 1, "b": 2}}
