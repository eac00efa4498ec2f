"""Minutes to steps, and the learning rate over them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unlesion.errors import BadInput
from unlesion.training.budget import HOLD, RAMP, StageClock, cosine, progress_at, rate_factor, steps_per_stage


def test_cosine_goes_from_one_to_nothing() -> None:
    assert cosine(0.0) == 1.0
    assert cosine(0.5) == pytest.approx(0.5)
    assert cosine(1.0) == pytest.approx(0.0)


@given(step=st.integers(0, HOLD - 1), total=st.integers(1, 10**6))
def test_the_warm_up_does_not_know_the_length(step: int, total: int) -> None:
    """So that a run with --steps repeats one whose length came from the clock."""
    assert rate_factor(step, total, None) == rate_factor(step, None, None)


@given(step=st.integers(0, HOLD - 1), total=st.integers(1, 10**6))
def test_progress_does_not_know_the_length_before_the_clock_does(step: int, total: int) -> None:
    assert progress_at(step, total) == progress_at(step, None) == 0.0


@given(total=st.integers(HOLD + 2, 5000))
def test_progress_ends_at_one(total: int) -> None:
    values = [progress_at(step, total) for step in range(total)]
    assert values == sorted(values)
    assert values[HOLD] == 0.0
    assert values[-1] == 1.0


def test_a_clock_goes_on_where_it_was_interrupted() -> None:
    whole, first = StageClock(30.0), StageClock(30.0)
    for _ in range(5):
        whole.add(0.1)
        first.add(0.1)
    second = StageClock(30.0, first.durations)
    lengths = [(whole.add(0.1), second.add(0.1)) for _ in range(HOLD)]
    assert all(one == other for one, other in lengths)
    assert lengths[-1][0] is not None


@given(total=st.integers(HOLD + 2, 5000))
def test_the_rate_rises_then_falls_to_nothing(total: int) -> None:
    factors = [rate_factor(step, total, None) for step in range(total)]
    assert factors[0] == pytest.approx(1 / RAMP)
    assert max(factors) == 1.0
    assert all(later <= earlier for earlier, later in zip(factors[HOLD:], factors[HOLD + 1 :], strict=False))
    assert factors[-1] < 0.05 or total < 2 * HOLD


@given(per_step=st.floats(0.001, 2.0), seconds=st.floats(1.0, 3600.0))
def test_the_clock_fills_the_budget(per_step: float, seconds: float) -> None:
    clock = StageClock(seconds)
    steps = None
    while steps is None:
        steps = clock.add(per_step)
    # Never more than one step over, unless the warm-up alone is longer than the budget.
    assert steps * per_step <= max(seconds, len(clock.durations) * per_step) + 1e-6
    assert steps * per_step >= min(seconds - per_step, HOLD * per_step) - 1e-6


def test_the_clock_forgets_slow_first_steps() -> None:
    clock = StageClock(100.0)
    steps = None
    for duration in [5.0, 1.0, 1.0] + [0.1] * HOLD:
        steps = clock.add(duration)
        if steps is not None:
            break
    assert steps is not None
    assert 900 < steps < 960


def test_steps_are_split_by_share() -> None:
    assert steps_per_stage("100", {"a": 0.7, "b": 0.3}) == {"a": 70, "b": 30}
    assert steps_per_stage(2, {"a": 0.9, "b": 0.1}) == {"a": 1, "b": 1}
    # All of them, whatever rounding does.
    assert steps_per_stage(2561, {"a": 0.5, "b": 0.5}) == {"a": 1281, "b": 1280}
    assert sum(steps_per_stage(1000, {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}).values()) == 1000
    assert steps_per_stage(3, {"a": 0.98, "b": 0.01, "c": 0.01}) == {"a": 1, "b": 1, "c": 1}
    assert steps_per_stage("a=5,b=7", {"a": 0.7, "b": 0.3}) == {"a": 5, "b": 7}


@pytest.mark.parametrize(
    "text", ["0", "-3", "x", "1.5", "a=5", "a=5,c=1", "a=0,b=1", "a=x,b=1", "", "1", "a=5,b=7,a=9"]
)
def test_bad_steps_are_refused_in_words(text: str) -> None:
    with pytest.raises(BadInput, match="--steps"):
        steps_per_stage(text, {"a": 0.7, "b": 0.3})
