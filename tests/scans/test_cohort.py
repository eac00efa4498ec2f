from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from unlesion.scans import Cohort


def row(path, **values):
    return {"path": path, **values}


@pytest.fixture
def two_sources(save_manifest):
    """Two sources, three modalities, all splits; the files themselves are never opened."""
    rows = []
    for source, subjects in (("a", 6), ("b", 3)):
        for number in range(subjects):
            for modality in ("T1", "T2", "FLAIR"):
                rows.append(
                    row(
                        f"{source}/{source}{number}/{modality}.nii.gz",
                        mask_path=f"{source}/{source}{number}/mask.nii.gz" if number == 2 else "",
                        source=source,
                        subject=f"{source}{number}",
                        scan=f"{source}{number}_1",
                        modality=modality,
                        label="anomalous" if number == 2 else "healthy",
                        pathology="glioma" if number == 2 else "none",
                        split=("train", "val", "test")[number % 3],
                        scanner="X, 3 T",
                    )
                )
    return save_manifest(rows)


def test_a_manifest(two_sources):
    cohort = Cohort.open(two_sources)
    assert len(cohort) == 27
    assert cohort.root == two_sources.parent
    assert cohort.warnings == ()
    assert len(cohort.subjects) == 9
    entry = cohort[6]
    assert entry.key == "a/a2/T1"
    assert entry.paths == (two_sources.parent / "a/a2/T1.nii.gz",)
    assert entry.mask_path == two_sources.parent / "a/a2/mask.nii.gz"
    assert (entry.subject, entry.scan_id, entry.modality) == ("a2", "a2_1", ("T1",))
    assert (entry.label, entry.pathology, entry.split) == ("anomalous", "glioma", "test")
    assert entry.columns["scanner"] == "X, 3 T"
    assert entry.position is None
    assert entry.roi_path is None
    assert entry.twin_paths == ()


def test_only_a_path_is_needed(save_manifest):
    (entry,) = Cohort.open(save_manifest([row("sub/x.y.nii.gz")]))
    assert (entry.key, entry.subject, entry.scan_id) == ("sub/x.y", "sub/x.y", "sub/x.y")
    assert (entry.label, entry.split, entry.modality, entry.spacing_mm) == ("healthy", None, ("",), None)


def test_typed_columns(save_manifest):
    (entry,) = Cohort.open(
        save_manifest(
            [row("./a/../x.png", position="0.25", spacing_mm="0.5, 0.7", twin_path="t.png", roi_path="r.png")]
        )
    )
    assert entry.key == "x"
    assert entry.position == 0.25
    assert entry.spacing_mm == (0.5, 0.7)
    assert entry.twin_paths[0].name == "t.png"
    assert entry.roi_path.name == "r.png"


def test_a_spreadsheets_byte_order_mark_and_blank_lines(tmp_path):
    (tmp_path / "m.csv").write_bytes(b"\xef\xbb\xbfpath, subject \r\nx.png, a \r\n\r\n,\r\ny.png,b\r\n")
    cohort = Cohort.open(tmp_path / "m.csv")
    assert [entry.key for entry in cohort] == ["x", "y"]
    assert cohort.subjects == ("a", "b")


def test_where(two_sources, refuses):
    assert len(Cohort.open(two_sources, where=["source=a"])) == 18
    assert len(Cohort.open(two_sources, where=["modality=T1,T2"])) == 18
    assert len(Cohort.open(two_sources, where=["modality=T1,T2", "source=b"])) == 6
    assert len(Cohort.open(two_sources, where=["modality=T1,T2", "modality=T2,FLAIR"])) == 9
    assert len(Cohort.open(two_sources, where=["source=b,nowhere"])) == 9
    assert "source=a" in Cohort.open(two_sources, where=["source=a"]).name
    refuses(lambda: Cohort.open(two_sources, where=["centre=a"]), "centre", "scanner", "modality")
    refuses(lambda: Cohort.open(two_sources, where=["source=c"]), "source=c", "a, b")
    refuses(lambda: Cohort.open(two_sources, where=["source"]), "COLUMN=VALUE")


def test_channels(two_sources, refuses):
    cohort = Cohort.open(two_sources, channels=["FLAIR", "T1"])
    assert len(cohort) == 9
    assert cohort.warnings == ()
    entry = cohort[2]
    assert entry.key == "a/a2/FLAIR"
    assert [path.name for path in entry.paths] == ["FLAIR.nii.gz", "T1.nii.gz"]
    assert entry.modality == ("FLAIR", "T1")
    assert entry.mask_path.name == "mask.nii.gz"
    assert len(Cohort.open(two_sources, channels=["T2"])) == 9
    assert Cohort.open(two_sources, channels=["T2"])[0].modality == ("T2",)
    refuses(lambda: Cohort.open(two_sources, channels=["T1", "PD"]), "PD", "FLAIR, T1, T2")
    refuses(lambda: Cohort.open(two_sources, channels=["T1", "T1"]), "twice")


def test_incomplete_scans_are_left_out_with_one_warning(save_manifest):
    rows = [row(f"{s}/{m}.png", subject=s, modality=m) for s in ("a", "b", "c") for m in ("T1", "T2")]
    cohort = Cohort.open(save_manifest(rows[:-1]), channels=["T1", "T2"])
    assert [entry.subject for entry in cohort] == ["a", "b"]
    assert len(cohort.warnings) == 1
    assert "1 of 3" in cohort.warnings[0]


def test_channels_of_slices_join_by_position(save_manifest):
    rows = [
        row(f"{m}_{p}.png", subject="a", scan="v", modality=m, position=p)
        for p in ("0.4", "0.5")
        for m in ("T2", "T1")
    ]
    cohort = Cohort.open(save_manifest(rows), channels=["T1", "T2"])
    assert [(entry.key, entry.position) for entry in cohort] == [("T1_0.4", 0.4), ("T1_0.5", 0.5)]


def test_channels_that_cannot_be_joined(save_manifest, refuses):
    twice = [row(f"{n}.png", subject="a", modality=m) for n, m in enumerate(["T1", "T1", "T2"])]
    refuses(lambda: Cohort.open(save_manifest(twice), channels=["T1", "T2"]), "both T1", "scan")
    apart = [row(f"{m}.png", subject=m, modality=m) for m in ("T1", "T2")]
    refuses(lambda: Cohort.open(save_manifest(apart), channels=["T1", "T2"]), "no scan", "all of them")
    label = {"T1": "healthy", "T2": "anomalous"}
    split = [row(f"{m}.png", subject="a", modality=m, label=label[m]) for m in label]
    refuses(lambda: Cohort.open(save_manifest(split), channels=["T1", "T2"]), "label")
    unnamed = save_manifest([row("x.png")])
    refuses(lambda: Cohort.open(unnamed, channels=["T1", "T2"]), "T1")


def test_joined_channels_are_read_as_one_scan(save_picture, save_manifest):
    pixels = np.random.default_rng(0).integers(0, 255, (3, 20, 24), dtype=np.uint8)
    rows = []
    for name, one in zip(("T1", "T2", "FLAIR"), pixels, strict=True):
        save_picture(f"{name}.png", one)
        rows.append(row(f"{name}.png", subject="s", modality=name, twin_path=f"{name}.png", spacing_mm="0.5"))
    (entry,) = Cohort.open(save_manifest(rows), channels=["T1", "T2", "FLAIR"])
    scan = entry.read()
    assert scan.modality == ("T1", "T2", "FLAIR")
    np.testing.assert_array_equal(scan.voxels[..., 0], pixels)
    np.testing.assert_array_equal(scan.twin, scan.voxels)
    assert scan.grid.spacing[:2] == (0.5, 0.5)
    assert (scan.key, scan.subject) == ("T1", "s")


def test_select(two_sources):
    cohort = Cohort.open(two_sources, where=["source=a", "modality=T1"])
    assert len(cohort.select(split="train")) == 2
    assert len(cohort.select(split=["val", "test"])) == 4
    assert [entry.subject for entry in cohort.select(label="anomalous")] == ["a2"]
    assert len(cohort.select(split="train", label="anomalous")) == 0
    assert cohort.select() is not cohort
    assert len(cohort.select()) == len(cohort)


def test_a_subject_in_two_splits_is_refused(save_manifest, refuses):
    rows = [
        row("a.png", subject="s1", split="train", use="yes"),
        row("b.png", subject="s1", split="test", use="yes"),
        row("c.png", subject="s2", split="test", use="yes"),
        row("d.png", subject="s2", split="val", use="no"),
    ]
    path = save_manifest(rows)
    refuses(lambda: Cohort.open(path), "s1", "s2", "split")
    message = refuses(lambda: Cohort.open(path, where=["use=yes"]), "s1", "test and train")
    assert "s2" not in message
    assert len(Cohort.open(path, where=["split=test"])) == 2


def test_equal_names_of_subjects_in_two_sources_are_two_subjects(save_manifest):
    rows = [
        row("a/1.png", source="a", subject="001", split="train"),
        row("b/1.png", source="b", subject="001", split="test"),
        row("b/2.png", source="b", subject="002", split="test"),
    ]
    path = save_manifest(rows)
    assert Cohort.open(path).subjects == ("a/001", "b/001", "002")
    assert Cohort.open(path, where=["source=a"]).subjects == ("a/001",)


def test_splits_by_hash_of_the_subject(save_manifest):
    rows = [row(f"{s}/{n}.png", subject=f"s{s}") for s in range(300) for n in range(2)]
    cohort = Cohort.open(save_manifest(rows)).with_splits()
    train, val = cohort.select(split="train"), cohort.select(split="val")
    assert not set(train.subjects) & set(val.subjects)
    assert len(train) + len(val) == 600
    assert 0.14 < len(val.subjects) / 300 < 0.26
    fewer = Cohort.open(save_manifest(rows[100:])).with_splits()
    known = {entry.subject: entry.split for entry in cohort}
    assert all(entry.split == known[entry.subject] for entry in fewer)
    assert fewer.with_splits() is fewer


@pytest.mark.parametrize("count", range(2, 9))
def test_small_cohorts_have_both_splits(count, save_manifest):
    cohort = Cohort.open(save_manifest([row(f"{n}.png") for n in range(count)])).with_splits()
    assert {entry.split for entry in cohort} == {"train", "val"}


def test_one_subject_goes_to_train_or_val_whole(save_manifest):
    rows = [row(f"{n}.png", subject="only") for n in range(3)]
    assert len({entry.split for entry in Cohort.open(save_manifest(rows)).with_splits()}) == 1


@pytest.mark.parametrize("count", [3, 4, 200])
def test_a_third_split_comes_out_of_those_that_learn(save_manifest, count):
    manifest = save_manifest([row(f"{n}.png") for n in range(count)])
    two = {entry.subject: entry.split for entry in Cohort.open(manifest).with_splits()}
    three = {entry.subject: entry.split for entry in Cohort.open(manifest).with_splits(test=True)}
    assert set(three.values()) == {"train", "val", "test"}
    assert {name for name in two if two[name] == "val"} == {name for name in three if three[name] == "val"}
    if count == 200:
        assert 25 < sum(split == "test" for split in three.values()) < 55


def test_own_splits_stay(two_sources):
    cohort = Cohort.open(two_sources)
    assert cohort.with_splits() is cohort


def test_odd_names_of_splits_are_a_warning(save_manifest):
    cohort = Cohort.open(save_manifest([row("a.png", split="training")]))
    assert "training" in cohort.warnings[0]


def test_images_without_a_subject_are_warned_of(save_manifest):
    (warning,) = Cohort.open(save_manifest([row("a/1.png"), row("a/2.png")])).warnings
    assert "no column 'subject'" in warning and "each of 2 images" in warning and "add the subject" in warning
    named = [row("a.png", subject="a"), row("b.png", subject=""), row("c.png", subject="")]
    (warning,) = Cohort.open(save_manifest(named)).warnings
    assert "no subject in 2 of 3 rows" in warning
    scans = [row(f"{number}.png", scan=str(number // 2)) for number in range(4)]
    (warning,) = Cohort.open(save_manifest(scans)).warnings
    assert "each of 2 scans" in warning
    assert Cohort.open(save_manifest([row("a.png")])).warnings == ()
    assert Cohort.open(save_manifest([row(f"{n}.png", subject="a") for n in range(2)])).warnings == ()


def test_rows_in_no_split_are_told_where_others_are_in_one(save_picture, save_manifest):
    save_picture("a.png")
    rows = [row("a.png", subject="1", split="train"), row("b.png", subject="2", split="")]
    (warning,) = Cohort.open(save_manifest(rows)).warnings
    assert "no split in 1 of 2 rows" in warning
    assert Cohort.open(save_manifest([{**one, "split": ""} for one in rows])).warnings == ()


def test_digest_follows_content_not_place_or_order(tmp_path, save_picture, save_manifest):
    save_picture("a.png")
    save_picture("b.png")
    rows = [row("a.png", subject="1"), row("b.png", subject="2")]
    first = Cohort.open(save_manifest(rows))
    assert len(first.digest) == 16
    assert Cohort.open(save_manifest(rows[::-1])).digest == first.digest
    assert first.with_splits().digest == first.digest
    assert first.select(split="none").digest != first.digest
    assert Cohort.open(save_manifest([rows[0], row("b.png", subject="3")])).digest != first.digest
    before = Cohort.open(save_manifest(rows)).digest
    (tmp_path / "b.png").write_bytes(b"other")
    assert Cohort.open(save_manifest(rows)).digest != before
    os.remove(tmp_path / "b.png")
    assert Cohort.open(save_manifest(rows)).digest != before


def test_digest_of_files_stays_what_it_was(tmp_path):
    """Results that were kept are found by it; runs from before recorded one of the lengths of files."""
    for name in ("a.png", "m.png", "b.png"):
        (tmp_path / name).write_bytes(b"12345")
    lines = ["path,mask_path,subject,label,split", "a.png,m.png,1,anomalous,test", "b.png,,2,healthy,train"]
    (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n")
    cohort = Cohort.open(tmp_path)
    assert cohort.digest == "54bd1ab734191cbd" and cohort.is_of("10a418363cd07d69")


def test_a_folder(tmp_path, save_picture):
    for name in ("s2/b.png", "s2/a.tif", "s1/deep/er/x.png", "top.jpg", ".hidden/x.png", "s1/.part-x.png"):
        save_picture(name)
    (tmp_path / "notes.txt").write_text("no image")
    cohort = Cohort.open(tmp_path)
    assert [entry.key for entry in cohort] == ["s1/deep/er/x", "s2/a", "s2/b", "top"]
    assert cohort.subjects == ("s1", "s2", "top")
    assert {entry.label for entry in cohort} == {"healthy"}
    assert "3 subjects" in cohort.warnings[0]
    assert cohort[0].read().subject == "s1"
    assert len(Cohort.open(tmp_path, where=["subject=s2"])) == 2


def test_a_folder_whose_names_tell_kinds_apart_that_it_does_not(tmp_path, save_picture):
    for name in (
        "a/T1.png",
        "a/sub-FLAIR_01.png",
        "b/t1.png",
        "b/flair.png",
        "b/flair_mask.png",
        "b/at1as.png",
    ):
        save_picture(name)
    contrasts, masks = Cohort.open(tmp_path).warnings[:2]
    assert "FLAIR (3), T1 (2); " in contrasts and "column modality" in contrasts
    assert "1 file named like masks" in masks
    for name in ("a/sub-FLAIR_01.png", "b/flair.png", "b/flair_mask.png"):
        (tmp_path / name).unlink()
    assert len(Cohort.open(tmp_path).warnings) == 1
    # Of a name with several words the first that decides counts, and T1w is a T1.
    (tmp_path / "a/T1.png").rename(tmp_path / "a/T1w_mprage.png")
    assert not any("contrasts" in words for words in Cohort.open(tmp_path).warnings)
    save_picture("c/T2_FLAIR.png")
    assert "FLAIR (1), T1 (2); " in Cohort.open(tmp_path).warnings[0]


def test_a_folder_with_a_manifest_is_opened_through_it(tmp_path, save_picture, save_manifest):
    save_picture("a.png")
    save_picture("a_mask.png")
    save_manifest([row("a.png", mask_path="a_mask.png", label="anomalous")])
    (entry,) = Cohort.open(tmp_path)
    assert entry.label == "anomalous"
    assert Cohort.open(tmp_path).name == tmp_path.name == Cohort.open(tmp_path / "manifest.csv").name


def test_a_single_image(save_nifti, asymmetric):
    path = save_nifti("one/x.nii.gz", np.stack([asymmetric] * 2, axis=-1))
    cohort = Cohort.open(path, volume=1)
    assert [entry.key for entry in cohort] == ["x"]
    assert cohort.volume == 1
    assert cohort.root == path.parent
    assert cohort[0].read().voxels.shape == (1, 20, 18, 22)
    assert cohort.subjects == ("x",)


def test_files_that_differ_in_ending_only_have_keys_of_their_own(tmp_path, save_picture):
    for name in ("x.png", "x.tif", "y.png"):
        save_picture(name)
    cohort = Cohort.open(tmp_path)
    assert [entry.key for entry in cohort] == ["x.png", "x.tif", "y"]


def test_symbolic_links_are_followed_to_files(tmp_path, save_picture, save_manifest):
    target = save_picture("elsewhere/real.png")
    (tmp_path / "cohort").mkdir()
    (tmp_path / "cohort" / "link.png").symlink_to(target)
    (entry,) = Cohort.open(tmp_path / "cohort")
    assert entry.read().voxels.shape == (1, 24, 20, 1)


def test_a_large_manifest_opens_quickly(save_manifest):
    import time

    path = save_manifest(
        [row(f"{n % 900}/{n}.png", subject=f"s{n % 900}", split="train") for n in range(20000)]
    )
    start = time.perf_counter()
    assert len(Cohort.open(path)) == 20000
    assert time.perf_counter() - start < 5


def test_importing_scans_is_cheap():
    code = (
        "import sys, unlesion.scans; "
        "heavy = {'torch', 'SimpleITK', 'matplotlib', 'pandas', 'nibabel', 'PIL', 'scipy'}; "
        "heavy &= set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    )


def test_folders_that_are_links_are_looked_into_once(tmp_path, save_picture):
    save_picture("data/a/x.png")
    save_picture("cohort/b/x.png")
    (tmp_path / "cohort" / "a").symlink_to(tmp_path / "data" / "a")
    (tmp_path / "cohort" / "again").symlink_to(tmp_path / "cohort" / "b")
    (tmp_path / "cohort" / "a2").symlink_to(tmp_path / "data" / "a")
    (tmp_path / "cohort" / "b" / "up").symlink_to(tmp_path / "cohort")
    assert [entry.key for entry in Cohort.open(tmp_path / "cohort")] == ["a/x", "b/x"]
