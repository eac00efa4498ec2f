"""Weights of a finished run for another one that differs in settings of detection or scoring only: nothing is learnt anew."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from unlesion.detector import Detector
from unlesion.errors import BadInput
from unlesion.files import read_json
from unlesion.training.claiming import MARKER, is_finished

# What learning left in the record of a run; all else is the new run's own.
_OF_LEARNING = ("steps", "minutes", "fit_seconds", "images_per_second", "precision")


def budget_of(run: Path) -> tuple[float | None, str | None]:
    """The minutes and the steps that a run was given, one of them None.

    Raises:
        BadInput: no training is described there.
    """
    begun = _begun(run)
    return begun.get("minutes"), begun.get("steps")


def differs(run: Path, identity: Mapping[str, Any], *, at_detection: Collection[str]) -> str | None:
    """The first thing that another training would have changed in the weights of a run, in words; None: nothing.

    Args:
        run: folder of a finished run.
        identity: of the training to be, as `train` writes it down.
        at_detection: settings of the method that training does not hang on.

    Raises:
        BadInput: no finished training there.
    """
    if not is_finished(run):
        raise BadInput(f"{run}: not a finished run (no detector.json); finish it with --resume first")
    begun = _begun(run)
    for name, value in identity.items():
        if name in ("scoring", "config"):
            continue
        if begun.get(name) != value:
            return f"{name} ({begun.get(name)!r}, now {value!r})"
    for name, value in identity["config"].items():
        before = begun.get("config", {}).get(name)
        if name not in at_detection and before != value:
            return f"method.{name} ({before!r}, now {value!r})"
    return None


def take_weights(network: nn.Module, run: Path, out: Path) -> dict[str, Any]:
    """Copy what a run learnt into a network and its history into the new run; what to record about it.

    Args:
        network: of the same method and settings; changed.
        run: the finished run.
        out: folder of the new one.
    """
    known = Detector.load(run)
    network.load_state_dict(known.network.state_dict())
    # Every run has the same files, whether there was anything to put into them or not.
    (out / "checkpoints").mkdir(parents=True, exist_ok=True)
    if (run / "history.csv").exists():
        shutil.copyfile(run / "history.csv", out / "history.csv")
    return {
        **{name: known.record[name] for name in _OF_LEARNING if name in known.record},
        "weights_of": known.name,
    }


def _begun(run: Path) -> Mapping[str, Any]:
    """What a training wrote down when it began."""
    if not (run / MARKER).exists():
        raise BadInput(f"{run}: not a run of `unlesion train` (no {MARKER}), so its training is not known")
    found: Mapping[str, Any] = read_json(run / MARKER)
    return found
