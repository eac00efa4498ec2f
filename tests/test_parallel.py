"""Work through an executor: order, how far ahead, dead workers, and what becomes of the rest."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from time import sleep

import pytest

from unlesion.errors import UnlesionError
from unlesion.parallel import as_they_come, in_order


def double(number: int) -> int:
    sleep(0.002 * (number % 3))
    return 2 * number


def die(number: int) -> int:
    os._exit(3)


@pytest.mark.parametrize("threads", [0, 3])
def test_results_in_order_and_never_too_far_ahead(threads: int) -> None:
    begun: list[int] = []

    def items() -> Iterator[int]:
        for number in range(20):
            begun.append(number)
            yield number

    executor = ThreadPoolExecutor(threads) if threads else None
    for place, result in enumerate(in_order(double, items(), executor=executor, ahead=2, doing="counting")):
        assert result == 2 * place
        assert len(begun) <= place + 3
    assert place == 19


@pytest.mark.parametrize("threads", [0, 3])
def test_any_order_gives_all(threads: int) -> None:
    executor = ThreadPoolExecutor(threads) if threads else None
    assert sorted(as_they_come(double, range(20), executor=executor, doing="counting")) == list(
        range(0, 40, 2)
    )


def test_leaving_early_begins_nothing_new() -> None:
    done: list[int] = []

    def slow(number: int) -> int:
        sleep(0.02)
        done.append(number)
        return number

    with ThreadPoolExecutor(1) as executor:
        results = as_they_come(slow, range(50), executor=executor, doing="counting")
        next(results)
        results.close()  # type: ignore[attr-defined]
    assert len(done) < 10


def test_a_dead_worker_is_said_in_words() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        for run in (
            in_order(die, [1], executor=executor, ahead=1, doing="counting"),
            as_they_come(die, [1], executor=executor, doing="counting"),
        ):
            with pytest.raises(UnlesionError, match=r"worker process died while counting.*fewer --jobs"):
                list(run)
