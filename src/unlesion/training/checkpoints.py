"""Checkpoints without pickles: one safetensors file, with everything but tensors as JSON in its header."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import CheckpointIO
from safetensors import SafetensorError, safe_open

from unlesion.archive import save_tensors
from unlesion.errors import BadInput


class SafeCheckpointIO(CheckpointIO):
    """Writes a Lightning checkpoint as a single safetensors file.

    A single file is replaced in one move, so whenever the machine stops there is a whole checkpoint.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write the checkpoint to the file `path`."""
        tensors: dict[str, torch.Tensor] = {}
        state = _encode(checkpoint, tensors)
        save_tensors(Path(path), tensors, metadata={"state": json.dumps(state)})

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: Any = None
    ) -> dict[str, Any]:
        """Read a checkpoint that `save_checkpoint` wrote.

        Raises:
            BadInput: it is missing or damaged.
        """
        try:
            with safe_open(path, framework="pt") as stored:
                state = json.loads(stored.metadata()["state"])
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise BadInput(
                f"{path}: not a readable checkpoint; delete {Path(path).parent} and start again without --resume"
            ) from error
        decoded: dict[str, Any] = _decode(state, tensors)
        return decoded

    def remove_checkpoint(self, path: Any) -> None:
        """Not used: the newest checkpoint replaces the last one."""
        raise RuntimeError(f"checkpoints are replaced, never removed: {path}")


def _encode(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """JSON for `value`, its tensors put aside; keys that are not text are kept as pairs."""
    if isinstance(value, torch.Tensor):
        name = str(len(tensors))
        # A copy: safetensors refuses tensors that share memory.
        tensors[name] = value.detach().cpu().clone().contiguous()
        return {"tensor": name}
    if isinstance(value, dict):
        return {"dict": [[_encode(k, tensors), _encode(v, tensors)] for k, v in value.items()]}
    if isinstance(value, (list, tuple)):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_encode(item, tensors) for item in value]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a checkpoint cannot hold {type(value).__name__}")


def _decode(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {_decode(k, tensors): _decode(v, tensors) for k, v in content}
    items = [_decode(item, tensors) for item in content]
    return items if kind == "list" else tuple(items)
