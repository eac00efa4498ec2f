"""Bad input gives one clear line and exit code 2, whatever the verb."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Command
from tests.cohorts import write_pictures


def save(path: Path, array: np.ndarray) -> Path:
    """An image by its ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith((".nii", ".nii.gz")):
        nib.save(nib.Nifti1Image(array, np.eye(4)), path)
    elif path.suffix == ".npy":
        np.save(path, array)
    else:
        Image.fromarray(array).save(path)
    return path


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 255, shape).astype(np.uint8)


BAD_SCANS = {
    "missing.png": None,
    "empty.png": b"",
    "truncated.nii.gz": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    "no-image.png": b"this is text, not an image",
    "no-image.nii.gz": b"this is text, not an image",
    "nan.npy": np.full((40, 40), np.nan, np.float32),
    "constant.png": np.full((40, 40), 7, np.uint8),
    "tiny.png": noise(9, 40),
    "four-d.nii.gz": noise(20, 20, 20, 3).astype(np.float32),
    "colour.png": noise(40, 40, 3),
    "objects.npy": np.array([{"a": 1}], dtype=object),
}


@pytest.mark.parametrize("name", BAD_SCANS)
def test_a_bad_scan(unlesion: Command, trained: Path, tmp_path: Path, name: str) -> None:
    path, content = tmp_path / name, BAD_SCANS[name]
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        save(path, content)
    said = unlesion("detect", trained, path, "--out", tmp_path / "out", "--jobs", 1)
    assert said.code == 2
    assert name in said.err
    assert len(said.complaint) < 400
    assert not list((tmp_path / "out").rglob("anomaly*"))


def test_a_volume_for_a_run_of_pictures_says_so(unlesion: Command, trained: Path, tmp_path: Path) -> None:
    path = save(tmp_path / "volume.nii.gz", noise(30, 30, 30).astype(np.float32))
    said = unlesion("detect", trained, path, "--out", tmp_path / "out", "--jobs", 1)
    assert said.code == 2
    assert "a volume, but recipe 'slices' is for pictures" in said.err


def test_mask_on_another_grid(unlesion: Command, trained: Path, tmp_path: Path) -> None:
    manifest = write_pictures(tmp_path / "c", train=0, val=0, healthy=1, anomalous=2)
    save(tmp_path / "c" / "s01_mask.png", noise(20, 20))
    said = unlesion("evaluate", trained, manifest, "--out", tmp_path / "out", "--jobs", 1)
    assert said.code == 2
    assert "s01_mask.png" in said.err


MANIFESTS = {
    "no path column": b"image,label\na.png,healthy\n",
    "wrong label": b"path,label\ns00.png,sick\n",
    "wrong position": b"path,position\ns00.png,high\n",
    "wrong spacing": b"path,spacing_mm\ns00.png,wide\n",
    "binary": bytes(range(256)) * 8,
    "outside": b"path\n../elsewhere/s00.png\n",
    "absolute": b"path\n/etc/passwd\n",
    "empty": b"",
    "header only": b"path,label\n",
    "two splits": b"path,subject,split\ns00.png,a,train\ns01.png,a,test\n",
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_bad_manifest(unlesion: Command, pictures: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "cohort"
    shutil.copytree(pictures.parent, folder)
    (folder / "manifest.csv").write_bytes(MANIFESTS[name])
    said = unlesion(
        "train", folder / "manifest.csv", "--method", "atlas", "--preset", "tiny", "--out", tmp_path / "run"
    )
    assert said.code == 2
    assert said.complaint
    assert not (tmp_path / "run" / "detector.json").exists()


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--method", "f-anogn"], "f-anogan"),
        (["--method", "dae", "--preset", "huge"], "tiny"),
        (["--method", "dae", "--set", "method.sigmma=1"], "sigma"),
        (["--method", "dae", "--set", "method.sigma=-1"], "sigma"),
        (["--method", "dae", "--set", "methods.sigma=1"], "method"),
        (["--method", "ra", "--set", "method.widths=8"], "setting method.widths=8: give a list"),
        (
            ["--method", "vq-vae", "--set", "method.deal=true", "method.agree=mean"],
            "settings of method: deal=true gives an image to one order only; agree=mean",
        ),
        (["--method", "dae", "--set", "sigma=1"], "ROOM.NAME"),
        (["--method", "dae", "--set", "recipe.sise=32"], "size"),
        (["--method", "dae", "--set", "training.bacth=4"], "batch"),
        (["--method", "dae", "--set", "scoring.sing=bright"], "sign"),
        (["--method", "dae", "--set", "scoring.rule=best"], "rule"),
        (["--method", "dae", "--steps", "none"], "--steps"),
        (["--method", "dae", "--steps", "5", "--minutes", "1"], "one of them"),
        (["--method", "dae", "--minutes", "-1"], "above 0"),
        (["--method", "dae", "--recipe", "brian-mri"], "brain-mri"),
        (["--method", "dae", "--where", "colour=red"], "group"),
        (["--method", "dae", "--where", "group=z"], "group"),
        (["--method", "dae", "--where", "label=anomalous"], "healthy"),
        (["--method", "dae", "--channels", "T1,T2"], "T2"),
        (["--method", "dae", "--device", "abacus"], "cpu"),
    ],
)
def test_bad_words_to_train(
    unlesion: Command, pictures: Path, tmp_path: Path, words: list[str], wanted: str
) -> None:
    if "--preset" not in words:
        words = [*words, "--preset", "tiny"]
    if not {"--steps", "--minutes"} & set(words):
        words = [*words, "--steps", "2"]
    said = unlesion("train", pictures, *words, "--out", tmp_path / "run", "--jobs", 1)
    assert said.code == 2
    assert wanted in said.complaint


def test_one_subject_only(unlesion: Command, tmp_path: Path) -> None:
    manifest = write_pictures(tmp_path / "c", train=1, val=0, healthy=0, anomalous=0, split=False)
    said = unlesion("train", manifest, "--method", "atlas", "--preset", "tiny", "--out", tmp_path / "run")
    assert said.code == 2
    assert "one healthy subject" in said.complaint


def test_alpha_that_n_cannot_support(
    unlesion: Command, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    said = unlesion("detect", trained, pictures, "--alpha", 0.01, "--out", tmp_path / "out")
    assert said.code == 2
    assert "4 healthy subjects" in said.complaint
    assert "1/5" in said.complaint


def test_a_run_of_another_version_or_a_damaged_one(
    unlesion: Command, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    def broken(change: object) -> str:
        run = tmp_path / "run"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(trained, run)
        saved = json.loads((run / "detector.json").read_text())
        change(saved, run)  # type: ignore[operator]
        if (run / "detector.json").read_bytes()[:1] == b"{":
            (run / "detector.json").write_text(json.dumps(saved))
        said = unlesion("detect", run, pictures, "--out", tmp_path / "out", "--jobs", 1)
        assert said.code == 2
        return said.complaint

    assert "train again" in broken(lambda saved, run: saved.update(format=99))
    assert "version" in broken(lambda saved, run: saved["method"].update(version=99))
    assert "recipe" in broken(lambda saved, run: saved["recipe"].update(size=64))
    assert "sigmma" in broken(lambda saved, run: saved["method"]["config"].update(sigmma=1))
    assert "damaged" in broken(lambda saved, run: (run / "weights.safetensors").write_bytes(b"x" * 100))
    assert "damaged" in broken(lambda saved, run: (run / "weights.safetensors").unlink())
    assert "JSON" in broken(lambda saved, run: (run / "detector.json").write_bytes(b"garbage"))
    said = unlesion("detect", tmp_path / "nowhere", pictures, "--out", tmp_path / "out")
    assert said.code == 2
    assert "not a run" in said.complaint


def test_a_run_whose_training_was_broken_off(
    unlesion: Command, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    half = tmp_path / "half"
    shutil.copytree(trained, half)
    (half / "detector.json").unlink()
    for words in (("detect", half, pictures), ("evaluate", half, pictures)):
        said = unlesion(*words, "--out", tmp_path / "out")
        assert said.code == 2
        assert "not finished" in said.complaint and "--resume" in said.complaint


def test_a_store_of_another_recipe(unlesion: Command, trained: Path, pictures: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    words = [
        "prepare",
        pictures,
        "--recipe",
        "slices",
        "--set",
        "recipe.size=48",
        "--out",
        store,
        "--jobs",
        1,
    ]
    assert unlesion(*words).code == 0
    said = unlesion("detect", trained, store, "--out", tmp_path / "out", "--jobs", 1)
    assert said.code == 2
    assert "recipe" in said.err


@pytest.mark.parametrize("verb", ["train", "prepare", "detect", "evaluate"])
def test_output_folder_not_writable(
    unlesion: Command, trained: Path, pictures: Path, tmp_path: Path, verb: str
) -> None:
    """A file in the folder's place: true for every user, root included."""
    (tmp_path / "out").write_text("in the way")
    words = {
        "train": ["train", pictures, "--method", "atlas", "--preset", "tiny"],
        "prepare": ["prepare", pictures],
        "detect": ["detect", trained, pictures],
        "evaluate": ["evaluate", trained, pictures],
    }[verb]
    said = unlesion(*words, "--out", tmp_path / "out", "--jobs", 1)
    assert said.code == 2
    assert "cannot be written" in said.complaint


def test_disk_full(
    unlesion: Command, trained: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.replace

    def full(source: object, target: object) -> None:
        if str(target).endswith("anomaly.npy"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(source, target)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "replace", full)
    scan = pictures.parent / "s15.png"
    said = unlesion("detect", trained, scan, "--out", tmp_path / "out", "--jobs", 1)
    assert said.code == 2
    assert "No space left" in said.err
    assert not list((tmp_path / "out").rglob(".part-*"))
    assert not list((tmp_path / "out").rglob("detection.json"))


def test_no_scans_in_the_split(unlesion: Command, trained: Path, pictures: Path, tmp_path: Path) -> None:
    said = unlesion("evaluate", trained, pictures, "--split", "later", "--out", tmp_path / "out")
    assert said.code == 2
    assert "train" in said.complaint
    assert "test" in said.complaint


@pytest.mark.parametrize(
    ("words", "complaint", "help_of"),
    [
        (["trian"], "no such command 'trian'. Did you mean 'train'?", "unlesion"),
        (["--bogus"], "no such option: --bogus", "unlesion"),
        (["train"], "missing argument", "unlesion train"),
        (["train", "x", "--out", "y"], "missing option '--method'", "unlesion train"),
        (["train", "x", "--method"], "option '--method' requires an argument", "unlesion train"),
        (["methods", "--yaml"], "no such option: --yaml", "unlesion methods"),
        (["methods", "dae", "extra"], "unexpected extra argument", "unlesion methods"),
        (["phantom", "--n", "many", "--out", "y"], "invalid value for '--n'", "unlesion phantom"),
        (["phantom", "--n", "0", "--out", "y"], "invalid value for '--n'", "unlesion phantom"),
    ],
)
def test_a_wrong_command_line_is_one_line(
    unlesion: Command, words: list[str], complaint: str, help_of: str
) -> None:
    said = unlesion(*words)
    assert said.code == 2
    assert said.out == ""
    assert said.err == said.complaint + "\n"
    assert complaint in said.complaint
    assert said.complaint.endswith(f"ee `{help_of} --help`")


def test_no_words_at_all_and_help_are_helped(unlesion: Command) -> None:
    bare, asked = unlesion(), unlesion("--help")
    assert (bare.code, asked.code) == (2, 0)
    assert asked.out.startswith("Usage: ")
    assert len((bare.out + bare.err).splitlines()) > 10
    assert unlesion("train", "--help").out.startswith("Usage: ")


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("scoring.scan=latent-w2", "scoring.scan=latent-w2: dae gives no distribution"),
        ("scoring.rule=map:nope", "scoring.rule=map:nope: dae makes no such map"),
    ],
)
def test_calibrating_does_not_ask_for_what_the_method_does_not_make(
    unlesion: Command, trained: Path, pictures: Path, tmp_path: Path, setting: str, complaint: str
) -> None:
    said = unlesion("calibrate", trained, pictures, "--set", setting, "--out", tmp_path / "out")
    assert said.code == 2
    assert complaint in said.complaint
    assert "warning" not in said.err
    assert not (tmp_path / "out").exists()
