"""How learning rates move over a stage: factors for a progress of 0 to 1, by name."""

from __future__ import annotations

import math
from collections.abc import Callable


def constant(progress: float) -> float:
    """A learning rate that stays."""
    return 1.0


def step_down(progress: float) -> float:
    """A tenth after a fifteenth of the training: epoch 100 of 1500, as Soft-IntroVAE's relatives have it."""
    return 1.0 if progress < 1.0 / 15.0 else 0.1


def cosine(progress: float) -> float:
    """From 1 to 0 on half a cosine."""
    return 0.5 * (1.0 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))


RATES: dict[str, Callable[[float], float]] = {"constant": constant, "step": step_down, "cosine": cosine}
