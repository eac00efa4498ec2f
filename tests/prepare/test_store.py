from __future__ import annotations

import errno
import json
import os
import signal
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cohorts import write_pictures
from unlesion.errors import BadInput, UnlesionError
from unlesion.prepare import PreparedStore, Recipe, gather, item, load_recipe, prepare_cohort, store_cohort
from unlesion.scans import Cohort, Entry


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    return Cohort.open(write_pictures(tmp_path / "cohort"))


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe("slices", {"size": 32})


def arrays(store: PreparedStore) -> dict[str, np.ndarray]:
    return {
        name: np.array(getattr(store, name))
        for name in ("images", "roi", "lesions", "positions", "slice_scan")
    }


def assert_same(one: PreparedStore, other: PreparedStore) -> None:
    for name, array in arrays(one).items():
        assert np.array_equal(array, getattr(other, name)), name
    assert one.scans == other.scans


def test_what_a_store_holds(cohort: Cohort, recipe: Recipe, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    store, failures = prepare_cohort(
        cohort, recipe, tmp_path / "s", progress=lambda d, t: seen.append((d, t))
    )
    assert failures == []
    assert seen[0] == (0, 18) and seen[-1] == (18, 18) and len(seen) == 19
    assert isinstance(store.images, np.memmap) and store.images.dtype == np.float16
    assert store.images.shape == (18, 1, 32, 32) and store.roi.shape == (18, 32, 32)
    assert store.roi.dtype == np.uint8 and store.slice_scan.tolist() == list(range(18)) and len(store) == 18
    assert store.recipe == recipe and store.index == store.scans
    assert store.scans[3]["key"] == cohort[3].key and store.scans[3]["columns"]["group"] == "a"
    assert len(store.select(split="train", label="healthy")) == 8
    assert len(store.select(split=["val", "test"])) == 10
    anomalous = store.select(label="anomalous")
    assert len(anomalous) == 3 and store.lesions[anomalous].any(axis=(1, 2)).all()
    assert not store.lesions[store.select(split="train")].any()
    direct = recipe.prepare(cohort[3].read())
    np.testing.assert_allclose(store.images[3], direct.images[0], atol=1e-3)
    assert sorted(p.name.split("-")[0] for p in (tmp_path / "s").iterdir()) == ["data", "index.json"]
    json.loads((tmp_path / "s" / "index.json").read_text())


def test_parallel_equals_serial(cohort: Cohort, recipe: Recipe, tmp_path: Path) -> None:
    serial, _ = prepare_cohort(cohort, recipe, tmp_path / "serial")
    with ThreadPoolExecutor(3) as threads:
        threaded, _ = prepare_cohort(cohort, recipe, tmp_path / "threads", executor=threads)
    with ProcessPoolExecutor(2) as processes:
        parallel, _ = prepare_cohort(cohort, recipe, tmp_path / "processes", executor=processes)
    assert_same(serial, threaded)
    assert_same(serial, parallel)


def test_interrupted_work_is_kept(
    cohort: Cohort, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = prepare_cohort(cohort, recipe, tmp_path / "whole")
    done = []

    def stop_after(count: int):
        def make(entry: Entry, *rest: object) -> object:
            if len(done) == count:
                raise KeyboardInterrupt
            done.append(entry.key)
            return item.make_item(entry, *rest)  # type: ignore[arg-type]

        return make

    monkeypatch.setattr(gather, "make_item", stop_after(7))
    with pytest.raises(KeyboardInterrupt):
        prepare_cohort(cohort, recipe, tmp_path / "s")
    assert not (tmp_path / "s" / "index.json").exists()
    with pytest.raises(BadInput, match="no prepared store"):
        PreparedStore.open(tmp_path / "s")
    done.clear()
    monkeypatch.setattr(gather, "make_item", stop_after(99))
    resumed, _ = prepare_cohort(cohort, recipe, tmp_path / "s")
    assert len(done) == 11
    assert_same(whole, resumed)


class SuddenDeath(Entry):
    """Kills the process that reads it, as running out of memory does."""

    def read(self):
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_worker_killed(cohort: Cohort, recipe: Recipe, tmp_path: Path) -> None:
    bad = SuddenDeath(**{**cohort[17].__dict__})
    dying = Cohort(root=cohort.root, entries=(*cohort.entries[:17], bad), name="dying")
    with ProcessPoolExecutor(1) as executor, pytest.raises(UnlesionError, match="worker process died"):
        prepare_cohort(dying, recipe, tmp_path / "s", executor=executor)
    kept = len(list((tmp_path / "s" / gather.PARTS).rglob("*.npz")))
    assert kept == 17
    seen: list[int] = []
    prepare_cohort(cohort, recipe, tmp_path / "s", progress=lambda d, t: seen.append(d))
    assert seen[0] == 17


@pytest.mark.parametrize("harm", ["cut", "flip", "empty"])
def test_damaged_items_are_redone(
    cohort: Cohort, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    whole, _ = prepare_cohort(cohort, recipe, tmp_path / "whole")
    monkeypatch.setattr(gather, "_gather", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        prepare_cohort(cohort, recipe, tmp_path / "s")
    monkeypatch.undo()
    part = min((tmp_path / "s" / gather.PARTS).rglob("*.npz"))
    content = bytearray(part.read_bytes())
    if harm == "flip":
        content[len(content) // 3] ^= 0xFF
    part.write_bytes({"cut": content[: len(content) // 2], "flip": content, "empty": b""}[harm])
    seen: list[int] = []
    resumed, _ = prepare_cohort(cohort, recipe, tmp_path / "s", progress=lambda d, t: seen.append(d))
    assert seen == [17, 18]
    assert_same(whole, resumed)


def test_only_what_changed_is_prepared_again(
    cohort: Cohort, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    real = item.make_item
    monkeypatch.setattr(
        gather, "make_item", lambda entry, *rest: made.append(entry.key) or real(entry, *rest)
    )
    prepare_cohort(cohort.select(split="train"), recipe, tmp_path / "s")
    assert len(made) == 8
    made.clear()
    prepare_cohort(cohort.select(split="train"), recipe, tmp_path / "s")
    assert made == []
    grown, _ = prepare_cohort(cohort, recipe, tmp_path / "s")
    assert len(made) == 10
    made.clear()
    image = np.array(Image.open(cohort[2].paths[0]))
    Image.fromarray(np.clip(image * 1.1, 0, 255).astype(np.uint8)).save(cohort[2].paths[0])
    changed, _ = prepare_cohort(cohort, recipe, tmp_path / "s")
    assert made == [cohort[2].key]
    assert np.array_equal(np.delete(grown.images, 2, 0), np.delete(changed.images, 2, 0))
    made.clear()
    prepare_cohort(cohort, load_recipe("slices", {"size": 24}), tmp_path / "s")
    assert len(made) == 18
    assert len(list((tmp_path / "s").glob("data-*"))) == 1


def test_bad_scans_are_reported_and_the_others_go_on(cohort: Cohort, recipe: Recipe, tmp_path: Path) -> None:
    cohort[4].paths[0].write_bytes(b"not an image")
    Image.fromarray(np.full((48, 48), 9, dtype=np.uint8)).save(cohort[9].paths[0])
    store, failures = prepare_cohort(cohort, recipe, tmp_path / "s")
    assert [failure.key for failure in failures] == [cohort[4].key, cohort[9].key]
    assert all("\n" not in failure.message and not failure.ours for failure in failures)
    assert len(store.scans) == 16 and cohort[4].key not in {row["key"] for row in store.scans}


def test_faults_of_ours_cost_one_scan(
    cohort: Cohort, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Recipe.prepare

    def fragile(self: Recipe, scan):
        if scan.key == cohort[1].key:
            raise ZeroDivisionError("oops")
        return real(self, scan)

    monkeypatch.setattr(Recipe, "prepare", fragile)
    store, failures = prepare_cohort(cohort, recipe, tmp_path / "s")
    assert len(store.scans) == 17 and failures[0].ours and "ZeroDivisionError" in failures[0].message


def test_nothing_to_prepare(cohort: Cohort, recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--where"):
        prepare_cohort(cohort.select(split="nowhere"), recipe, tmp_path / "s")
    for entry in cohort:
        entry.paths[0].write_bytes(b"")
    with pytest.raises(BadInput, match="no scan could be prepared"):
        prepare_cohort(cohort, recipe, tmp_path / "s")


def test_a_full_disk_while_preparing(
    cohort: Cohort, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(BadInput, match="No space left"):
        prepare_cohort(cohort, recipe, tmp_path / "s")
    assert not list((tmp_path / "s").rglob("*.npz"))


def test_a_full_disk_while_gathering_keeps_the_old_store(
    cohort: Cohort, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, _ = prepare_cohort(cohort.select(split="train"), recipe, tmp_path / "s")
    before = arrays(old)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array_header_1_0", full)
    with pytest.raises(BadInput, match="No space left"):
        prepare_cohort(cohort, recipe, tmp_path / "s")
    monkeypatch.undo()
    after = arrays(PreparedStore.open(tmp_path / "s"))
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert len(list((tmp_path / "s").glob("data-*"))) == 1
    seen: list[int] = []
    prepare_cohort(cohort, recipe, tmp_path / "s", progress=lambda d, t: seen.append(d))
    assert seen == [18]


def test_places_that_cannot_be_written(cohort: Cohort, recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadInput, match="cannot be written"):
        prepare_cohort(cohort, recipe, tmp_path / "file")


def test_damaged_stores_are_refused(cohort: Cohort, recipe: Recipe, tmp_path: Path) -> None:
    prepare_cohort(cohort, recipe, tmp_path / "s")
    index = tmp_path / "s" / "index.json"
    text = index.read_text()
    for broken in ("[]", "{}", text[: len(text) // 2], text.replace('"version": 1', '"version": 99')):
        index.write_text(broken)
        with pytest.raises(BadInput):
            PreparedStore.open(tmp_path / "s")
    index.write_text(text)
    images = next((tmp_path / "s").glob("data-*")) / "images.npy"
    images.write_bytes(images.read_bytes()[:500])
    with pytest.raises(BadInput, match="prepare the cohort again"):
        PreparedStore.open(tmp_path / "s")
    again, _ = prepare_cohort(cohort, recipe, tmp_path / "s")
    assert len(again) == 18


def test_a_store_as_a_cohort(cohort: Cohort, recipe: Recipe, tmp_path: Path) -> None:
    store, _ = prepare_cohort(cohort, recipe, tmp_path / "s")
    again = store_cohort(tmp_path / "s")
    assert [entry.key for entry in again] == [entry.key for entry in cohort]
    assert (
        again.select(split="test", label="anomalous").subjects
        == cohort.select(split="test", label="anomalous").subjects
    )
    for number in (0, 17):
        scan = again[number].read()
        prepared = recipe.prepare(scan)
        assert prepared.placement.is_identity
        assert np.array_equal(prepared.images, store.images[number : number + 1].astype(np.float32))
        assert np.array_equal(prepared.roi, store.roi[number : number + 1] > 0)
        assert prepared.spacing == tuple(store.scans[number]["spacing"])
        assert prepared.positions.tolist() == [0.5]
        assert np.array_equal(prepared.restore_healthy(prepared.images), scan.voxels)
    assert again[17].read().lesions is not None and again[0].read().lesions is None
    second, _ = prepare_cohort(again, recipe, tmp_path / "again")
    assert np.array_equal(second.images, store.images) and np.array_equal(second.roi, store.roi)


def test_a_store_of_another_recipe_is_refused(cohort: Cohort, recipe: Recipe, tmp_path: Path) -> None:
    prepare_cohort(cohort, recipe, tmp_path / "s")
    scan = store_cohort(tmp_path / "s")[0].read()
    with pytest.raises(BadInput, match=load_recipe("slices").digest):
        load_recipe("slices").prepare(scan)


def test_scans_of_unequal_channels_are_refused(cohort: Cohort, recipe: Recipe, tmp_path: Path) -> None:
    two = Entry(**{**cohort[1].__dict__, "paths": cohort[1].paths * 2, "modality": ("T1", "T2")})
    mixed = Cohort(root=cohort.root, entries=(cohort[0], two), name="mixed")
    with pytest.raises(BadInput, match="--channels"):
        prepare_cohort(mixed, recipe, tmp_path / "s")


def test_folders_of_others_are_left_alone(cohort: Cohort, recipe: Recipe, tmp_path: Path) -> None:
    """Every folder called data-something in the place of a store used to be deleted."""
    out = tmp_path / "study"
    for name in ("data-raw", "data-0123456789abcdef", "parts", "store"):
        (out / name).mkdir(parents=True)
        (out / name / "scan.nii.gz").write_bytes(b"mine")
    prepare_cohort(cohort, recipe, out)
    prepare_cohort(Cohort(root=cohort.root, entries=cohort.entries[:9], name="fewer"), recipe, out)
    assert len(list(out.rglob("scan.nii.gz"))) == 4
    # Of the two stores one is left.
    assert len([path for path in out.glob("data-*") if (path / "images.npy").exists()]) == 1
