"""A run recognises scans that it has met."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

from tests.cohorts import write_pictures
from unlesion.calibration.met import doubts_about, met_by
from unlesion.prepare import load_recipe, prepare_cohort, store_cohort
from unlesion.scans import Cohort, Entry
from unlesion.scans.prints import prints_of


def with_column(manifest: Path, name: str, value: str) -> Cohort:
    """The cohort with one more column."""
    rows = [{**row, name: value} for row in csv.DictReader(manifest.open(encoding="utf-8"))]
    with manifest.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return Cohort.open(manifest)


def test_scans_are_recognised_under_other_names(tmp_path: Path) -> None:
    cohort = Cohort.open(write_pictures(tmp_path / "a", train=3, val=2))
    learnt, held_out = (cohort.select(split=split, label="healthy") for split in ("train", "val"))
    record = {"met": met_by(learnt, held_out)}
    assert len(set(prints_of(cohort).values())) == len(cohort)
    assert doubts_about(cohort.select(split="test"), record=record) == []
    # A folder of copies, without a manifest: no split says anything.
    copies = tmp_path / "copies"
    copies.mkdir()
    for number, entry in enumerate([*learnt, *held_out, *cohort.select(split="test")]):
        shutil.copy(entry.paths[0], copies / f"patient{number}.png")
    one, two = doubts_about(Cohort.open(copies), record=record)
    assert one.startswith("3 of 11 scans are among those that the run learnt from")
    assert two.startswith("2 of 11 scans are among those that calibrated the run")


def test_scans_of_a_store_are_recognised_by_the_files_they_were_prepared_from(tmp_path: Path) -> None:
    cohort = Cohort.open(write_pictures(tmp_path / "a", train=3, val=2))

    def stored(cohort: Cohort, size: int, name: str) -> Cohort:
        prepare_cohort(cohort, load_recipe("slices", {"size": size}), tmp_path / name)
        return store_cohort(tmp_path / name)

    one = stored(cohort, 32, "one")
    # Of another recipe, of a part, and of a store.
    others = [stored(cohort, 16, "other"), stored(one, 32, "again")]
    part = stored(Cohort(root=cohort.root, entries=cohort.entries[1:4], name="part"), 32, "part")
    for learnt_from in (one, cohort):
        learnt, held_out = (learnt_from.select(split=split, label="healthy") for split in ("train", "val"))
        record = {"met": met_by(learnt, held_out)}
        for other in (one, cohort, *others):
            assert doubts_about(other.select(split="test"), record=record) == []
            first, second = doubts_about(other, record=record)
            assert first.startswith("3 of 11 scans are among those that the run learnt from")
            assert second.startswith("2 of 11 scans are among those that calibrated the run")
        first, second = doubts_about(part, record=record)
        assert first.startswith("2 of 3 scans are among those that the run learnt from")
        assert second.startswith("1 of 3 scans are among those that calibrated the run")


def test_scans_of_an_older_store_are_not_taken_for_others(tmp_path: Path) -> None:
    cohort = Cohort.open(write_pictures(tmp_path / "a", train=3, val=2))
    prepare_cohort(cohort, load_recipe("slices", {"size": 32}), tmp_path / "store")
    index = json.loads((tmp_path / "store" / "index.json").read_text())
    for row in index["scans"]:
        del row["print"]
    (tmp_path / "store" / "index.json").write_text(json.dumps(index))
    older = store_cohort(tmp_path / "store")
    assert prints_of(older) == prints_of(older.entries[:1]) == {}


def test_prints_of_files_stay_what_they_were(tmp_path: Path) -> None:
    """Runs recognise scans by those that they recorded, so no version may make others."""
    (tmp_path / "a.png").write_bytes(bytes(range(256)) * 200)
    entry = Entry(key="a", paths=(tmp_path / "a.png",))
    assert prints_of([entry]) == {"a": "f513368d5897"}


def test_a_run_without_prints_goes_by_the_splits_of_its_own_cohort(tmp_path: Path) -> None:
    cohort = Cohort.open(write_pictures(tmp_path / "a", train=3, val=2))
    other = Cohort.open(write_pictures(tmp_path / "b", train=4, val=2))
    record = {"cohort": cohort.digest}
    found = doubts_about(cohort.select(split=("train", "test")), record=record, opened=cohort)
    assert len(found) == 1 and found[0].startswith("3 of 9 scans")
    # Another cohort's splits say nothing about this run.
    assert doubts_about(other, record=record, opened=other) == []


def test_foreign_modalities_and_sources(tmp_path: Path) -> None:
    home = with_column(write_pictures(tmp_path / "a", train=3, val=2), "source", "home")
    away = with_column(
        write_pictures(tmp_path / "b", train=4, val=0, healthy=0, anomalous=1, modalities=("T1", "T2")),
        "source",
        "away",
    )
    away = Cohort(root=away.root, entries=away.entries[6:], name="away")
    record = {"met": met_by(home.select(split="train"), ())}
    found = doubts_about(away, record=record, learnt=("T1",), calibrated=("T1",))
    assert found == [
        "2 of 4 scans are of a modality that the run never saw: T2 (the run knows T1).",
        "4 of 4 scans are from a source that the run never saw: away (the run knows home).",
    ]
    found = doubts_about(away, record={}, learnt=("T1", "T2"), calibrated=("T1",))
    assert found == ["2 of 4 scans are of a modality that did not calibrate the run: T2 (the run knows T1)."]
    assert doubts_about(away, record={}) == []
    # Some that calibrated had no name, and may have been T2.
    assert doubts_about(away, record={}, learnt=("T1", "T2"), calibrated=("T1", "unnamed")) == []
    found = doubts_about(away, record={}, learnt=("T1", "unnamed"), calibrated=("T1",))
    assert found == ["2 of 4 scans are of a modality that did not calibrate the run: T2 (the run knows T1)."]
    # Nobody says what the run learnt from.
    assert doubts_about(away, record={"met": {"sources": []}}, learnt=("unnamed",)) == []
