"""Weights of a finished run for another one that differs in settings of detection or scoring only: nothing is learnt anew."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from unlesion.calibration.met import recorded_prints
from unlesion.detector import Detector
from unlesion.errors import BadInput
from unlesion.files import read_json
from unlesion.scans import Entry
from unlesion.scans.prints import prints_of
from unlesion.training.claiming import MARKER, is_finished
from unlesion.wording import count

# What learning left in the record of a run; all else is the new run's own. The device counts: another one rounds otherwise.
_OF_LEARNING = ("steps", "minutes", "fit_seconds", "images_per_second", "precision", "device")


class OtherTraining(BadInput):
    """A run whose weights are not those that the training asked for would come to."""


def budget_of(run: Path) -> tuple[float | None, str | None]:
    """The minutes and the steps that a run was given, one of them None.

    Raises:
        BadInput: no training is described there.
    """
    begun = _begun(run)
    return begun.get("minutes"), begun.get("steps")


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """A finished run whose weights may be taken: its folder, and what was loaded from there."""

    run: Path
    detector: Detector


def learnt_by(
    run: Path, identity: Mapping[str, Any], healthy: Iterable[Entry], *, at_detection: Collection[str]
) -> Learnt:
    """A finished run, once it is sure that another training would come to the same weights.

    Args:
        run: its folder.
        identity: of the training to be, as `train` writes it down.
        healthy: the scans that it would learn from.
        at_detection: settings of the method that training does not hang on.

    Raises:
        BadInput: no finished training there, or one of another version.
        OtherTraining: one that would come to other weights.
    """
    begun = _begun(run)
    if not is_finished(run):
        raise BadInput(f"{run}: not a finished run (no detector.json); finish it with --resume first")
    other = _differs(begun, identity, at_detection)
    if other is not None:
        raise OtherTraining(f"--weights {run}: learnt with another {other}; train anew, without --weights")
    known = Detector.load(run)
    version = read_json(run / "detector.json")["method"]["version"]
    if version != identity["method_version"]:
        raise OtherTraining(
            f"--weights {run}: learnt by version {version} of {identity['method']}, this is version {identity['method_version']}; "
            "train anew, without --weights"
        )
    # A cohort is told by its table and pieces of its files; what lies between them may have changed.
    before, now = recorded_prints(known.record, "learnt"), set(prints_of(healthy).values())
    if before and before != now:
        changed = count(max(len(now - before), len(before - now)), "scan")
        raise OtherTraining(
            f"--weights {run}: {changed} of its cohort changed since; train anew, without --weights"
        )
    return Learnt(run=run, detector=known)


def take_weights(network: nn.Module, learnt: Learnt, out: Path, *, slices: int) -> dict[str, Any]:
    """Copy what a run learnt into a network and its history into the new run; what to record about it.

    Args:
        network: of the same method and settings; changed.
        learnt: the finished run.
        out: folder of the new one.
        slices: that were prepared to learn from.

    Raises:
        OtherTraining: the run learnt from more or fewer slices.
    """
    run, known = learnt.run, learnt.detector
    before = known.record.get("slices", slices)
    if before != slices:
        raise OtherTraining(
            f"--weights {run}: learnt from {count(before, 'slice')}, now there are {slices}; train anew, without "
            "--weights"
        )
    network.load_state_dict(known.network.state_dict())
    # Every run has the same files, whether there was anything to put into them or not.
    (out / "checkpoints").mkdir(parents=True, exist_ok=True)
    if (run / "history.csv").exists():
        shutil.copyfile(run / "history.csv", out / "history.csv")
    return {
        **{name: known.record[name] for name in _OF_LEARNING if name in known.record},
        "weights_of": known.name,
    }


def _differs(
    begun: Mapping[str, Any], identity: Mapping[str, Any], at_detection: Collection[str]
) -> str | None:
    """The first thing that another training would have changed in the weights, in words; None: nothing."""
    for name, value in identity.items():
        # The version of the method stands in the finished run, also of those that were begun before it was written down here.
        if name in ("scoring", "config", "method_version"):
            continue
        if begun.get(name) != value:
            return f"{name} ({begun.get(name)!r}, now {value!r})"
    for name, value in identity["config"].items():
        before = begun.get("config", {}).get(name)
        if name not in at_detection and before != value:
            return f"method.{name} ({before!r}, now {value!r})"
    return None


def _begun(run: Path) -> Mapping[str, Any]:
    """What a training wrote down when it began."""
    if not (run / MARKER).exists():
        raise BadInput(
            f"{run}: not a run of `unlesion train` (no {MARKER}), so its training is not known; give the folder that "
            "`train` wrote"
        )
    found: Mapping[str, Any] = read_json(run / MARKER)
    return found
