"""Checkpoints hold everything, without pickles."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from unlesion.errors import BadInput
from unlesion.training.checkpoints import SafeCheckpointIO
from unlesion.training.claiming import claim, hold_to
from unlesion.training.history import History


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    shared = torch.arange(6.0)
    saved = {
        "state_dict": {"a": shared, "b": shared[:3], "empty": torch.zeros(0), "whole": torch.tensor(3)},
        "optimizer_states": [
            {"state": {0: {"step": torch.tensor(4.0)}}, "param_groups": [{"betas": (0.9, 0.99)}]}
        ],
        "loops": {"nested": {"none": None, "flag": True, "text": "x", "number": 2, "list": [1, (2, 3)]}},
    }
    SafeCheckpointIO().save_checkpoint(saved, tmp_path / "last.safetensors")
    found = SafeCheckpointIO().load_checkpoint(tmp_path / "last.safetensors")
    assert torch.equal(found["state_dict"]["a"], shared)
    assert torch.equal(found["state_dict"]["b"], shared[:3])
    assert found["state_dict"]["whole"].dtype == torch.int64
    assert found["optimizer_states"][0]["state"][0]["step"] == 4.0
    assert found["optimizer_states"][0]["param_groups"][0]["betas"] == (0.9, 0.99)
    assert found["loops"] == saved["loops"]


def test_what_cannot_be_saved_safely_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="cannot hold set"):
        SafeCheckpointIO().save_checkpoint({"x": {1, 2}}, tmp_path / "last.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_checkpoint_says_what_to_do(tmp_path: Path) -> None:
    SafeCheckpointIO().save_checkpoint({"x": torch.ones(3)}, tmp_path / "last.safetensors")
    (tmp_path / "last.safetensors").write_bytes(b"rubbish")
    with pytest.raises(BadInput, match="--resume"):
        SafeCheckpointIO().load_checkpoint(tmp_path / "last.safetensors")


def test_a_full_disk_is_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """safetensors has an error of its own for it, which was taken for a failure of ours."""

    def full(*args: object, **options: object) -> None:
        raise SafetensorError("Error while serializing: IoError(No space left on device)")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(BadInput, match="free some space"):
        SafeCheckpointIO().save_checkpoint({"state_dict": {}}, tmp_path / "last.safetensors")
    assert not list(tmp_path.iterdir())


def test_rows_of_a_stage_hold_its_own_losses_only(tmp_path: Path) -> None:
    history = History(tmp_path / "history.csv", ["warmup", "game"])
    for step in range(17):
        history.add("warmup", step, 0.0, {"loss": 1.0})
    for step in range(20):
        history.add("game", step, 0.0, {"loss": 2.0})
    assert [(row["stage"], row["loss"]) for row in history.rows] == [
        ("warmup", "1"),
        ("game", "2"),
        ("game", "2"),
    ]


def test_what_a_training_rests_on_is_held_to(tmp_path: Path) -> None:
    claim(tmp_path, {"seed": 0, "device": "cuda"}, resume=False)
    hold_to(tmp_path, "slices", "abc")
    hold_to(tmp_path, "slices", "abc")
    claim(tmp_path, {"seed": 0, "device": "cuda"}, resume=True)
    with pytest.raises(BadInput, match="other slices"):
        hold_to(tmp_path, "slices", "abd")
    with pytest.raises(BadInput, match="another device"):
        claim(tmp_path, {"seed": 0, "device": "cpu"}, resume=True)
