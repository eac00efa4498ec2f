"""Going over the scans of a cohort with a detector: read and prepare ahead, keep failures apart."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from unlesion.errors import BadInput, UnlesionError, in_words
from unlesion.parallel import in_order
from unlesion.prepare import Failure, Prepared, Recipe
from unlesion.scans import Entry, Scan

_log = logging.getLogger("unlesion")

# Scans that may wait in memory, ready, while the network looks at one.
AHEAD = 3


@dataclass(frozen=True, kw_only=True)
class Swept:
    """One scan of a sweep: either read and prepared, or what was wrong with it.

    Attributes:
        entry: the row of the cohort.
        scan: the scan; None if it could not be read or prepared.
        prepared: the scan in the recipe's shape; None likewise.
        problem: one line for people; "" if all is well.
        ours: True where the fault is the program's, not the scan's.
        trace: the traceback of a fault of ours; it may come from another process.
    """

    entry: Entry
    scan: Scan | None = None
    prepared: Prepared | None = None
    problem: str = ""
    ours: bool = False
    trace: str = ""


class Failures:
    """The scans of a sweep that could not be used; the others go on.

    Args:
        warn: told about each in one line.

    Attributes:
        found: one for each such scan, in the order met.
    """

    def __init__(self, warn: Callable[[str], None] = lambda message: None) -> None:
        self.found: list[Failure] = []
        self._warn = warn

    def __len__(self) -> int:
        return len(self.found)

    @property
    def ours(self) -> int:
        """How many of them are a fault of the program."""
        return sum(failure.ours for failure in self.found)

    @property
    def messages(self) -> dict[str, str]:
        """By key, what was wrong."""
        return {failure.key: failure.message for failure in self.found}

    def say(self, message: str) -> None:
        """Tell something that is no failure."""
        self._warn(message)

    def add(self, key: str, message: str, *, ours: bool = False, trace: str = "") -> None:
        """Note a scan that could not be used; a traceback goes into the log file, if one is open."""
        if trace and _log.handlers:
            _log.error("%s: failure\n%s", key, trace.rstrip())
        self.found.append(Failure(key=key, message=message, ours=ours))
        self._warn(message)

    def take(self, swept: Swept) -> None:
        """Note a scan that could not be read or prepared."""
        self.add(swept.entry.key, swept.problem, ours=swept.ours, trace=swept.trace)

    def take_all(self, failures: Iterable[Failure], *, said: str = "") -> None:
        """Note scans that could not be prepared; `said` stands before the words of each."""
        for failure in failures:
            self.add(failure.key, f"{said}{failure.message}", ours=failure.ours, trace=failure.trace)

    @contextmanager
    def guard(self, key: str) -> Iterator[None]:
        """Whatever goes wrong with this scan in the block is noted, and goes no further."""
        try:
            yield
        except Exception as error:
            ours = not isinstance(error, BadInput)
            self.add(key, in_words(key, error), ours=ours, trace=traceback.format_exc() if ours else "")

    def settle(self, message: str) -> None:
        """Say at the end that scans failed, if any did.

        Raises:
            BadInput: all of them were bad input.
            UnlesionError: some were a fault of ours.
        """
        if self.ours:
            raise UnlesionError(
                f"{message}; {self.ours} by a failure of ours: please report it with the log file"
            )
        if self.found:
            raise BadInput(message)


def sweep(entries: Iterable[Entry], recipe: Recipe, *, executor: Executor | None = None) -> Iterator[Swept]:
    """Read and prepare scans in order, a few ahead through `executor` (None: in this process).

    A bad scan comes back with its `problem`; the others go on.

    Raises:
        UnlesionError: a worker process died.
    """
    work = partial(_one, recipe=recipe)
    return in_order(work, entries, executor=executor, ahead=AHEAD, doing="reading scans")


def _one(entry: Entry, *, recipe: Recipe) -> Swept:
    try:
        scan = entry.read()
        return Swept(entry=entry, scan=scan, prepared=recipe.prepare(scan))
    except Exception as error:  # One scan that trips over a fault of ours must not cost all the others.
        ours = not isinstance(error, BadInput)
        trace = traceback.format_exc() if ours else ""
        return Swept(entry=entry, problem=in_words(entry.key, error), ours=ours, trace=trace)
