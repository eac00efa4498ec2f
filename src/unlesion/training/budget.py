"""From minutes to steps, and the learning rate over them.

The number of steps must be known before the learning rate can fall on a cosine, but how long a step
takes is only known after a few. So every stage begins with the same warm-up, whatever its length:
the rate rises for `RAMP` steps and holds until `HOLD`, by when the steps are timed; the schedule
proper starts there. A run with the same number of `--steps` therefore repeats one with `--minutes`.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence

from unlesion.errors import BadInput

RAMP = 25
HOLD = 50
# The first steps compile, allocate and fill caches: they are not timed.
UNTIMED = 3


def cosine(progress: float) -> float:
    """From 1 to 0 on half a cosine."""
    return 0.5 * (1.0 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))


def rate_factor(step: int, total: int | None, schedule: Callable[[float], float] | None) -> float:
    """The factor on the learning rate at a step (from 0) of a stage of `total` steps (None: unknown)."""
    if step < HOLD or total is None:
        return min(1.0, (step + 1) / RAMP)
    span = max(total - HOLD, 1)
    return (schedule or cosine)((step - HOLD) / span)


def progress_at(step: int, total: int | None) -> float:
    """How far a stage is, for what a method varies over it: 0 until `HOLD`, 1 at its last step.

    Until `HOLD` the length may not be known, so that it must not show there, even where it is.
    """
    if step < HOLD or total is None:
        return 0.0
    return min(1.0, (step - HOLD) / max(total - 1 - HOLD, 1))


class StageClock:
    """Times the first steps of a stage and says how many fit into its share of the budget.

    Args:
        seconds: the stage's share of the budget.
        durations: of the steps that were timed before an interruption.
    """

    def __init__(self, seconds: float, durations: Sequence[float] = ()) -> None:
        self.seconds = seconds
        self.durations: list[float] = list(durations)

    def add(self, duration: float) -> int | None:
        """Take the duration of one more step; the stage's length in steps once it is known."""
        self.durations.append(duration)
        timed = self.durations[UNTIMED:]
        enough = len(self.durations) >= HOLD or (len(timed) >= 5 and sum(timed) >= 0.05 * self.seconds)
        if not enough:
            return None
        # The mean, not the median: slow steps (a checkpoint, a busy machine) cost time too, but the
        # slowest tenth is cut so that one hiccup does not halve the training.
        kept = sorted(timed)[: max(1, math.ceil(0.9 * len(timed)))]
        per_step = statistics.fmean(kept)
        left = max(self.seconds - sum(self.durations), 0.0)
        return len(self.durations) + int(left / max(per_step, 1e-6))


def steps_per_stage(steps: str | int, shares: Mapping[str, float]) -> dict[str, int]:
    """Read `--steps`: a total to be split by the stages' shares, or "stage=N,stage=N".

    Raises:
        BadInput: no number, an unknown stage, a stage left out, or fewer steps than stages.
    """
    text = str(steps)
    if "=" not in text:
        if not text.isdigit() or int(text) < 1:
            raise BadInput(f"--steps {text}: give a whole number above 0, or STAGE=N,STAGE=N")
        if int(text) < len(shares):
            raise BadInput(f"--steps {text}: fewer than stages, which are {', '.join(shares)}; give more")
        return _split(int(text), shares)
    given: dict[str, int] = {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        if name not in shares:
            raise BadInput(f"--steps {text}: no stage {name!r}; the stages are {', '.join(shares)}")
        if name in given:
            raise BadInput(f"--steps {text}: stage {name!r} is named twice")
        if not number.isdigit() or int(number) < 1:
            raise BadInput(f"--steps {text}: {number!r} is not a whole number above 0")
        given[name] = int(number)
    missing = [name for name in shares if name not in given]
    if missing:
        raise BadInput(f"--steps {text}: say how many steps {', '.join(missing)} should take, too")
    return given


def _split(steps: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Steps by shares, all of them, at least one each: what rounding leaves goes where most was cut off."""
    whole = sum(shares.values())
    wanted = {name: steps * share / whole for name, share in shares.items()}
    out = {name: max(1, int(number)) for name, number in wanted.items()}
    while (left := steps - sum(out.values())) != 0:
        sign = 1 if left > 0 else -1
        movable = [name for name in out if sign > 0 or out[name] > 1]
        chosen = max(movable, key=lambda name: sign * (wanted[name] - out[name]))
        out[chosen] += sign
    return out
