"""Work over many things through one executor, or in this process; nothing new is begun after an error or Ctrl-C."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, as_completed
from contextlib import contextmanager
from typing import Any, TypeVar

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
    at: deque[Item] = deque()
    with _tidily(waiting, doing, at):
        for item in items:
            at.append(item)
            waiting.append(executor.submit(work, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
                at.popleft()
        while waiting:
            yield waiting.popleft().result()
            at.popleft()


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
def _tidily(futures: Iterable[Future[Result]], doing: str, at: Iterable[Any] = ()) -> Iterator[None]:
    """Cancels what is left; of what was under way when a worker died (`at`), names what has a `key`."""
    try:
        yield
    except BrokenExecutor as error:
        names = ", ".join(str(item.key) for item in at if hasattr(item, "key"))
        where = f", at one of {names}" if names else ""
        again = "; if it dies there again, take that one out of the manifest or folder" if names else ""
        raise UnlesionError(
            f"a worker process died while {doing}{where} (out of memory?); run the same command again, perhaps with "
            f"fewer --jobs{again}"
        ) from error
    finally:
        for future in futures:
            future.cancel()
