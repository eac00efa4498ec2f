"""Trains the toy method; run as a program that a test kills."""

from __future__ import annotations

import sys
from pathlib import Path

import tests.methods.toy
from unlesion.training import train

STEPS = "first=120,second=40"


def run(manifest: Path, out: Path, *, resume: bool = False, steps: str = STEPS) -> None:
    """Train `out` with frequent checkpoints."""
    train(
        manifest,
        method=tests.methods.toy.Toy.name,
        out=out,
        preset="tiny",
        steps=steps,
        seed=3,
        resume=resume,
        settings={"training": {"checkpoint_seconds": 0.05, "batch": 4}},
        device="cpu",
    )


if __name__ == "__main__":
    try:
        run(Path(sys.argv[1]), Path(sys.argv[2]), resume="--resume" in sys.argv)
    except KeyboardInterrupt:
        sys.exit(130)
