"""Which stores may be prepared into."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cohorts import write_pictures
from unlesion.cli.app import run as command
from unlesion.errors import BadInput
from unlesion.prepare import PreparedStore, load_recipe, prepare_cohort, refuse_other_store
from unlesion.scans import Cohort

RECIPE = load_recipe("slices", {"size": 32})


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    return Cohort.open(write_pictures(tmp_path / "cohort", train=3, val=1, healthy=0, anomalous=0))


def test_the_same_recipe_and_a_cohort_that_has_grown_go_on(cohort: Cohort, tmp_path: Path) -> None:
    store = tmp_path / "store"
    refuse_other_store(store, cohort, RECIPE)
    prepare_cohort(replace(cohort, entries=cohort.entries[:2]), RECIPE, store)
    (cohort.root / "s00.png").touch()
    refuse_other_store(store, cohort, RECIPE)


def test_others_are_refused(cohort: Cohort, tmp_path: Path) -> None:
    store = tmp_path / "store"
    prepare_cohort(cohort, RECIPE, store)
    with pytest.raises(BadInput, match=r"with recipe 'slices'.*--overwrite"):
        refuse_other_store(store, cohort, load_recipe("slices", {"size": 64}))
    fewer = replace(cohort, entries=cohort.entries[1:], name="fewer")
    with pytest.raises(BadInput, match=r"1 of which are not in fewer \(such as s00\).*--overwrite"):
        refuse_other_store(store, fewer, RECIPE)
    # Two sites may call their scans alike.
    other = Cohort.open(write_pictures(tmp_path / "other", train=3, val=1, healthy=0, anomalous=0))
    with pytest.raises(BadInput, match=r"files of every scan are others.*--overwrite"):
        refuse_other_store(store, other, RECIPE)


def test_a_damaged_store_is_made_again(cohort: Cohort, tmp_path: Path) -> None:
    store = tmp_path / "store"
    prepare_cohort(cohort, RECIPE, store)
    index = json.loads((store / "index.json").read_text())
    (store / "index.json").write_text(json.dumps({**index, "version": 0}))
    refuse_other_store(store, cohort, load_recipe("slices", {"size": 64}))


def test_the_verb_asks_for_overwrite(
    cohort: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["prepare", str(cohort.root), "--recipe", "slices", "--jobs", "1", "--quiet"]
    words += ["--out", str(tmp_path / "store"), "--set"]
    assert command([*words, "recipe.size=32"]) == 0
    assert command([*words, "recipe.size=32"]) == 0
    before = (tmp_path / "store" / "index.json").read_bytes()
    capsys.readouterr()
    assert command([*words, "recipe.size=64"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "store" / "index.json").read_bytes() == before
    assert command([*words, "recipe.size=64", "--overwrite"]) == 0
    assert PreparedStore.open(tmp_path / "store").recipe.size == 64


def test_a_folder_of_other_things_is_no_place_for_a_store(cohort: Cohort, tmp_path: Path) -> None:
    out = tmp_path / "study"
    (out / "raw").mkdir(parents=True)
    with pytest.raises(BadInput, match="holds other files"):
        refuse_other_store(out, cohort, RECIPE)
    (out / "raw").rmdir()
    (out / ".parts").mkdir()
    refuse_other_store(out, cohort, RECIPE)
