"""Cohorts with implanted lesions on disk."""

from __future__ import annotations

import csv
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unlesion.errors import BadInput
from unlesion.phantom.implant import Implants, write_implants
from unlesion.scans import Cohort

KINDS = ["glioma", "multiple sclerosis"]


@pytest.fixture
def cohort(head: Path, tmp_path: Path) -> Path:
    """A manifest of slices: train, val, test, and one that is anomalous already."""
    folder = tmp_path / "cohort"
    folder.mkdir()
    rows = []
    pixels = np.asarray(Image.open(head / "slice.png"))
    for number, (split, label) in enumerate(
        [
            ("train", "healthy"),
            ("val", "healthy"),
            ("test", "healthy"),
            ("test", "healthy"),
            ("test", "anomalous"),
        ]
    ):
        name = f"s{number}"
        Image.fromarray(np.roll(pixels, number, axis=1)).save(folder / f"{name}.png")
        rows.append(
            {
                "path": f"{name}.png",
                "subject": name,
                "modality": "T1",
                "label": label,
                "pathology": "none" if label == "healthy" else "tumour",
                "split": split,
                "age": str(40 + number),
                "hospital": "north",
                "spacing_mm": "2",
            }
        )
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def write(source: Path, out: Path, **settings: object) -> Implants:
    options: dict[str, object] = {"pathologies": KINDS, "per_scan": 2} | settings
    return write_implants(Cohort.open(source), out, **options)  # type: ignore[arg-type]


def test_the_new_cohort_is_complete(cohort: Path, tmp_path: Path) -> None:
    done = write(cohort, tmp_path / "out")
    assert (done.healthy, done.implanted, done.failures) == (4, 6, ())
    new = Cohort.open(done.manifest)
    assert [(e.split, e.label) for e in new].count(("test", "healthy")) == 2
    sick = new.select(label="anomalous")
    assert {e.split for e in sick} == {"val", "test"}
    # An examination each: image-level metrics must tell them from their healthy originals.
    assert len({e.scan_id for e in sick} | {e.scan_id for e in new}) == len(new)
    # What was anomalous already gets no lesion and is left out.
    assert "s4" not in new.subjects
    for entry in sick:
        scan = entry.read()
        assert scan.lesions is not None and scan.twin is not None
        original = next(e for e in new if e.label == "healthy" and e.subject == entry.subject).read()
        assert np.array_equal(scan.twin, original.voxels)
        assert np.array_equal(scan.twin, Cohort.open(cohort / f"{entry.subject}.png")[0].read().voxels)
        assert not np.array_equal(scan.voxels, scan.twin)
        changed = (scan.voxels != scan.twin)[0]
        assert changed[scan.lesions].mean() > 0.5
        facts = entry.columns
        assert facts["hospital"] == "north" and facts["pathology"] in KINDS
        assert facts["age"] == str(40 + int(entry.subject[1:]))
        assert float(facts["size_mm2"]) == pytest.approx(scan.lesions.sum() * 4, rel=1e-3)
        assert abs(float(facts["contrast"])) < 5 and 0.1 < float(facts["strength"]) < 1.2
    with Image.open(tmp_path / "out" / sick[0].columns["path"]) as picture:
        assert picture.mode == "L"


def test_any_order_any_worker_same_pixels(cohort: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    first = write(cohort, tmp_path / "a")
    opened = Cohort.open(cohort)
    turned = replace(opened, entries=opened.entries[::-1])
    with ThreadPoolExecutor(2) as executor:
        second = write_implants(turned, tmp_path / "b", pathologies=KINDS, per_scan=2, executor=executor)
    assert _pixels(first, tmp_path / "a") == _pixels(second, tmp_path / "b")
    other = write(cohort, tmp_path / "c", seed=1)
    assert _pixels(other, tmp_path / "c") != _pixels(first, tmp_path / "a")


def test_a_second_call_makes_what_is_missing(cohort: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(cohort, out)
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    gone = next(iter(out.glob("test/s2/*ml.png")))
    gone.unlink()
    done = write(cohort, out)
    assert done.implanted == 6
    assert {path for path in times if path.stat().st_mtime_ns != times[path]} <= {
        gone,
        gone.with_name(f"{gone.stem}_mask.png"),
    }
    # Another original is another implant.
    pixels = np.asarray(Image.open(cohort / "s3.png"))
    Image.fromarray(pixels // 2 + 10 * (pixels > 0).astype(np.uint8)).save(cohort / "s3.png")
    before = {path: path.stat().st_mtime_ns for path in out.glob("test/s3/*ml.png")}
    assert before
    write(cohort, out)
    assert all(path.stat().st_mtime_ns != time for path, time in before.items())
    fresh = Cohort.open(out)
    for entry in fresh.select(label="anomalous"):
        scan = entry.read()
        assert scan.twin is not None and scan.lesions is not None
        # Black around the head is alike in any case.
        assert (scan.voxels == scan.twin)[scan.twin > 0].mean() > 0.1


def test_a_bad_scan_costs_only_itself(cohort: Path, tmp_path: Path) -> None:
    (cohort / "s2.png").write_bytes(b"no picture")
    done = write(cohort, tmp_path / "out")
    assert done.implanted == 4
    assert [failure.ours for failure in done.failures] == [False]
    assert "s2" in done.failures[0].message
    assert "s3" in Cohort.open(done.manifest).subjects


def test_a_cohort_without_splits_gets_some(cohort: Path, tmp_path: Path) -> None:
    opened = Cohort.open(cohort)
    done = write_implants(
        replace(opened, entries=tuple(replace(entry, split=None) for entry in opened)),
        tmp_path / "out",
        pathologies=KINDS,
    )
    assert any("60 / 20 / 20" in warning for warning in done.warnings)
    made = Cohort.open(done.manifest)
    assert {entry.split for entry in made.select(label="healthy")} == {"train", "val", "test"}
    assert {entry.split for entry in made.select(label="anomalous")} == {"val", "test"}


def test_what_cannot_be_done(cohort: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no healthy test scans"):
        write_implants(Cohort.open(cohort, where=["split=train,val"]), tmp_path / "out")
    with pytest.raises(BadInput, match="no healthy test scans"):
        write_implants(Cohort.open(cohort, where=["label=anomalous"]), tmp_path / "out")
    with pytest.raises(BadInput, match="another --out"):
        write(cohort, cohort)
    with pytest.raises(BadInput, match="not known"):
        write(cohort, tmp_path / "out", pathologies=["measles"])
    for picture in cohort.glob("*.png"):
        picture.unlink()
        (picture.parent / picture.name).mkdir()
    with pytest.raises(BadInput, match="none of"):
        write(cohort, tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.csv").exists()


def test_originals_of_another_disk_are_copied(
    cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    def no_link(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", no_link)
    done = write(cohort, tmp_path / "out", per_scan=1)
    assert done.healthy == 4 and not done.failures
    copied = tmp_path / "out" / "healthy" / "s0.png"
    assert copied.read_bytes() == (cohort / "s0.png").read_bytes()
    assert not copied.samefile(cohort / "s0.png")
    shutil.rmtree(cohort)
    assert Cohort.open(done.manifest)[0].read().voxels.any()


def _pixels(done: Implants, out: Path) -> dict[str, bytes]:
    return {
        path: (out / path).read_bytes()
        for entry in Cohort.open(done.manifest)
        for path in (entry.columns["path"], entry.columns["mask_path"])
        if path
    }


def test_brains_around_zero_are_refused(cohort: Path, tmp_path: Path) -> None:
    """Their dark tissue was lifted to 0, and lesions came out with the wrong sign."""
    pixels = np.asarray(Image.open(cohort / "s2.png")).astype(np.float32)
    inside = pixels > 0
    pixels[inside] = (pixels[inside] - pixels[inside].mean()) / pixels[inside].std()
    np.save(cohort / "z.npy", pixels)
    table = (cohort / "manifest.csv").read_text().replace("s2.png", "z.npy").replace("s3.png", "z.npy")
    lines = [line for number, line in enumerate(table.splitlines()) if number != 4]
    (cohort / "manifest.csv").write_text("\n".join(lines) + "\n")
    done = write(cohort, tmp_path / "out")
    assert any("below 0" in failure.message for failure in done.failures)
    assert not any(failure.ours for failure in done.failures)
