"""A killed training goes on exactly where its last checkpoint stood."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.training.interrupted import run
from unlesion.detector import Detector
from unlesion.errors import BadInput
from unlesion.files import read_json
from unlesion.training.budget import HOLD

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def whole(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody interrupted."""
    out = tmp_path_factory.mktemp("whole") / "run"
    run(pictures, out)
    return out


def start(pictures: Path, out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.training.interrupted", str(pictures), str(out)]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        # A test run in the background ignores Ctrl-C, and its children would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for_step(process: subprocess.Popen[bytes], out: Path, stage: int, step: int) -> None:
    """Wait until a checkpoint at or after (stage, step) is there."""
    for _ in range(4000):
        if (out / "checkpoints" / "last.safetensors").exists() and _place(out) >= (stage, step):
            return
        assert process.poll() is None, "the training ended before it could be interrupted"
        time.sleep(0.01)
    raise AssertionError("no checkpoint came")


def _place(out: Path) -> tuple[int, int]:
    from unlesion.training.checkpoints import SafeCheckpointIO

    place = SafeCheckpointIO().load_checkpoint(out / "checkpoints" / "last.safetensors")["unlesion_place"]
    return place["stage"], place["step"]


@pytest.mark.parametrize(("stage", "step"), [(0, 20), (1, 10)])
def test_kill_dash_nine_changes_nothing(
    pictures: Path, whole: Path, tmp_path: Path, stage: int, step: int
) -> None:
    out = tmp_path / "run"
    process = start(pictures, out)
    wait_for_step(process, out, stage, step)
    process.kill()
    process.wait()
    assert not (out / "detector.json").exists()
    run(pictures, out, resume=True)
    expected, found = load_file(whole / "weights.safetensors"), load_file(out / "weights.safetensors")
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, found[name]), name
    assert _losses(out) == _losses(whole)


def test_ctrl_c_keeps_what_was_learnt(pictures: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = start(pictures, out)
    wait_for_step(process, out, 0, 10)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert not (out / "detector.json").exists()
    run(pictures, out, resume=True)
    expected, found = load_file(whole / "weights.safetensors"), load_file(out / "weights.safetensors")
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())


def test_resume_with_other_settings_is_refused(pictures: Path, tmp_path: Path) -> None:
    from unlesion.training import train

    out = tmp_path / "run"
    out.mkdir()
    train(pictures, method="dae", out=out, preset="tiny", steps=3, device="cpu", seed=1)
    with pytest.raises(BadInput, match="another seed"):
        train(pictures, method="dae", out=out, preset="tiny", steps=3, device="cpu", seed=2, resume=True)
    with pytest.raises(BadInput, match="--resume"):
        train(pictures, method="dae", out=out, preset="tiny", steps=3, device="cpu", seed=1)
    # Resuming what is finished changes nothing.
    before = (out / "weights.safetensors").read_bytes()
    train(pictures, method="dae", out=out, preset="tiny", steps=3, device="cpu", seed=1, resume=True)
    assert (out / "weights.safetensors").read_bytes() == before


@pytest.mark.parametrize(("method", "settings"), [("dae", {}), ("vae", {"warmup": 0.5})])
def test_same_seed_same_result_and_minutes_repeat_as_steps(
    pictures: Path, tmp_path: Path, method: str, settings: dict[str, Any]
) -> None:
    from unlesion.training import train

    def weights(name: str, **budget: Any) -> dict[str, torch.Tensor]:
        train(
            pictures,
            method=method,
            out=tmp_path / name,
            preset="tiny",
            device="cpu",
            # By the processor's clock a busy machine makes no fewer steps.
            settings={"method": settings, "training": {"clock": "processor"}},
            **budget,
        )
        return load_file(tmp_path / name / "weights.safetensors")

    timed = weights("timed", minutes=0.07)
    steps = read_json(tmp_path / "timed" / "detector.json")["record"]["steps"]["train"]
    assert steps > HOLD + 1
    repeated = weights("repeated", steps=steps)
    other = weights("other", steps=3, seed=1)
    assert all(torch.equal(timed[name], repeated[name]) for name in timed)
    assert any(not torch.equal(timed[name], other[name]) for name in timed)
    assert f"--steps train={steps}" in Detector.load(tmp_path / "timed").record["repeat"]


def _losses(run: Path) -> list[tuple[str, str, str]]:
    with (run / "history.csv").open(newline="") as stream:
        return [(row["stage"], row["step"], row["loss"]) for row in csv.DictReader(stream)]


def test_stages_follow_each_other_and_freeze_the_rest(whole: Path) -> None:
    stages = [stage for stage, _, _ in _losses(whole)]
    assert stages == sorted(stages)
    assert {"first", "second"} == set(stages)
    assert Detector.load(whole).record["steps"] == {"first": 120, "second": 40}
