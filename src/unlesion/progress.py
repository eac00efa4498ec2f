"""Progress with time left: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar

T = TypeVar("T")

# Between two lines of progress where there is no terminal (a cluster's log, a pipe).
LINE_EVERY_SECONDS = 20.0


class Advance(Protocol):
    """Called as work is done: by how much, with a few words to show beside the bar, of how much.

    What was done `already`, before an interruption, took no time now and tells nothing of the time left.
    """

    def __call__(
        self, amount: float = 1.0, *, note: str = "", total: float | None = None, already: bool = False
    ) -> None: ...


# Makes a bar: label and total in, a context with `Advance` out. Handed down from the command line,
# so that no other room knows how progress is shown.
Bars = Callable[[str, float | None], AbstractContextManager[Advance]]


# Who shows the words of `tell`: the innermost bar that is shown.
_listener: ContextVar[Callable[[str], None] | None] = ContextVar("listener", default=None)


def tell(note: str) -> None:
    """Say how far long work on one item is, beside the bar of whoever shows one; else nothing happens.

    For work deep below a bar, such as the steps of a diffusion chain on one scan.
    """
    listener = _listener.get()
    if listener is not None:
        listener(note)


@contextmanager
def _heard(advance: Advance) -> Iterator[None]:
    token = _listener.set(lambda note: advance(0.0, note=note))
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def silent(label: str, total: float | None = None) -> Iterator[Advance]:
    """Progress for nobody: `--quiet`, libraries, tests."""

    def advance(
        amount: float = 1.0, *, note: str = "", total: float | None = None, already: bool = False
    ) -> None:
        return None

    yield advance


@contextmanager
def shown(label: str, total: float | None = None) -> Iterator[Advance]:
    """Progress for people, on standard error so that results can be piped."""
    show = _terminal if sys.stderr.isatty() else _lines
    with show(label, total) as advance, _heard(advance):
        yield advance


def track(items: Iterable[T], *, label: str, total: int | None = None, bars: Bars = silent) -> Iterator[T]:
    """Go through `items` with a bar."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with bars(label, total) as advance:
        for item in items:
            yield item
            advance()


@contextmanager
def _terminal(label: str, total: float | None) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("gone"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        # Names of scans may hold brackets.
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(label, total=total, note="")

        def advance(
            amount: float = 1.0, *, note: str = "", total: float | None = None, already: bool = False
        ) -> None:
            if total is not None:
                progress.update(task, total=total)
            if already:
                progress.reset(task, total=progress.tasks[0].total, completed=int(amount), note=note)
            else:
                progress.update(task, advance=amount, note=note)

        yield advance


@contextmanager
def _lines(label: str, total: float | None) -> Iterator[Advance]:
    start = last = time.monotonic()
    done, before, known, words = 0.0, 0.0, total, ""

    def line() -> None:
        gone = time.monotonic() - start
        parts = [label]
        if known:
            parts.append(f"{100 * done / known:.0f} %")
        parts.append(f"{_clock(gone)} gone")
        if known and done > before:
            parts.append(f"{_clock(gone * (known - done) / (done - before))} left")
        if words:
            parts.append(words)
        print(" · ".join(parts), file=sys.stderr, flush=True)

    def advance(
        amount: float = 1.0, *, note: str = "", total: float | None = None, already: bool = False
    ) -> None:
        nonlocal done, before, known, words, last
        done, words, known = done + amount, note or words, total or known
        before += amount if already else 0.0
        if time.monotonic() - last >= LINE_EVERY_SECONDS:
            last = time.monotonic()
            line()

    yield advance
    line()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(max(seconds, 0.0)), 60)
    return f"{minutes}:{rest:02d}"


@contextmanager
def counted(bars: Bars, label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for work that reports (done, total)."""
    with bars(label, None) as advance:
        before: int | None = None

        def report(done: int, total: int) -> None:
            nonlocal before
            # The first call says what was there before.
            advance(done - (before or 0), total=total, already=before is None)
            before = done

        yield report
