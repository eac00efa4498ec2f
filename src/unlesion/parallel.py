"""Work over many things through one executor, or in this process; nothing new is begun after an error or Ctrl-C."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, as_completed
from contextlib import contextmanager
from typing import TypeVar

from unlesion.errors import UnlesionError

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    executor: Executor | None,
    ahead: int,
    doing: str,
) -> Iterator[Result]:
    """Results in the order of `items`, which are taken from their source no faster than results are used.

    Args:
        work: must be importable by name, as executors of processes ask.
        items: may be endless.
        executor: where the work is done; in this process if None.
        ahead: at most so many items are under way beyond the one waited for, which bounds memory.
        doing: for the message, as in "reading scans".

    Raises:
        UnlesionError: a worker process died.
    """
    if executor is None:
        yield from map(work, items)
        return
    waiting: deque[Future[Result]] = deque()
    with _tidily(waiting, doing):
        for item in items:
            waiting.append(executor.submit(work, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def as_they_come(
    work: Callable[[Item], Result], items: Sequence[Item], *, executor: Executor | None, doing: str
) -> Iterator[Result]:
    """Results as they are done, in any order; arguments and errors as in `in_order`."""
    if executor is None:
        yield from map(work, items)
        return
    futures: list[Future[Result]] = []
    with _tidily(futures, doing):
        # A worker may die while work is still being handed out.
        futures += [executor.submit(work, item) for item in items]
        for future in as_completed(futures):
            yield future.result()


@contextmanager
def _tidily(futures: Iterable[Future[Result]], doing: str) -> Iterator[None]:
    try:
        yield
    except BrokenExecutor as error:
        raise UnlesionError(
            f"a worker process died while {doing} (out of memory?); run the same command again, perhaps with "
            "fewer --jobs"
        ) from error
    finally:
        for future in futures:
            future.cancel()
