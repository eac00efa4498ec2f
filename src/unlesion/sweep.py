"""Going over the scans of a cohort with a detector: read and prepare ahead, keep failures apart."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass

from unlesion.errors import BadInput
from unlesion.prepare import Prepared, Recipe
from unlesion.scans import Entry, Scan

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
    """

    entry: Entry
    scan: Scan | None = None
    prepared: Prepared | None = None
    problem: str = ""


def sweep(entries: Iterable[Entry], recipe: Recipe, *, executor: Executor | None = None) -> Iterator[Swept]:
    """Read and prepare scans in order, a few ahead through `executor` (None: in this process).

    A bad scan comes back with its `problem`; the others go on.
    """
    if executor is None:
        for entry in entries:
            yield _one(entry, recipe)
        return
    waiting: deque[Future[Swept]] = deque()
    try:
        for entry in entries:
            waiting.append(executor.submit(_one, entry, recipe))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _one(entry: Entry, recipe: Recipe) -> Swept:
    try:
        scan = entry.read()
        return Swept(entry=entry, scan=scan, prepared=recipe.prepare(scan))
    except BadInput as error:
        return Swept(entry=entry, problem=str(error))
