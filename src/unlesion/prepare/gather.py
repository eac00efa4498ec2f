"""Preparing a whole cohort into a store: in parallel, resumable, whole or not at all."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextlib import ExitStack
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from unlesion.errors import BadInput, UnlesionError
from unlesion.files import cannot_write, whole_folder, write_json
from unlesion.prepare.item import FACTS, Failure, Item, fingerprint, knows_all, make_item, read_item
from unlesion.prepare.recipe import Recipe
from unlesion.prepare.store import DATA, FORMAT, INDEX, VERSION, PreparedStore
from unlesion.scans.cohort import Cohort
from unlesion.scans.entry import Entry
from unlesion.scans.prints import prints_of
from unlesion.wording import count

_log = logging.getLogger("unlesion")

# Called once a scan is done: (done, total).
Progress = Callable[[int, int], None]

# Below a store: scans that are done and wait for the others. Hidden, so that it is nobody's else.
PARTS = ".parts"
ARRAYS = ("images", "roi", "lesions", "positions", "slice_scan")

# Scans handed to the executor ahead of being done; more would only hold memory.
AHEAD = 64
# Named where a worker died; more would tell nobody anything.
SUSPECTS = 4


def prepare_cohort(
    cohort: Cohort,
    recipe: Recipe,
    out: str | Path,
    *,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> tuple[PreparedStore, list[Failure]]:
    """Prepare every scan of a cohort into a store; only what is new or changed is worked on.

    Finished scans wait in `out/.parts` until all are done, then they are gathered into the arrays of
    the store and `out/index.json` is replaced at last, so an interrupted call costs only the scans that
    were being worked on, and leaves an older store as it was. One scan is in memory at a time.

    Args:
        cohort: the scans.
        recipe: how to prepare them.
        out: the store's folder.
        executor: does the work on scans; None works in this process.
        progress: called as scans are done.

    Returns:
        The store, and the scans that could not be prepared (they are not in it).

    Raises:
        BadInput: the cohort is empty, no scan could be prepared, or `out` cannot be written.
        UnlesionError: no scan could be prepared, by a failure of ours.
    """
    out = Path(out)
    if len(cohort) == 0:
        raise BadInput(f"{cohort.name}: no scans to prepare; check --where")
    try:
        (out / PARTS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(out, error) from error
    old = _existing(out, recipe)
    # Rows of earlier versions lack facts that only the scan itself can tell: it is prepared again.
    rows = enumerate([] if old is None else old.scans)
    known = {row["fingerprint"]: number for number, row in rows if knows_all(row)}
    marks = [fingerprint(entry, recipe) for entry in cohort]
    parts = {mark: _part(out, mark) for mark in marks}
    missing = [
        (entry, mark)
        for entry, mark in zip(cohort, marks, strict=True)
        if mark not in known and read_item(parts[mark]) is None
    ]
    done = len(cohort) - len(missing)
    report = progress or _nobody
    report(done, len(cohort))
    failures = []
    for failure in _work(((entry, recipe, parts[mark]) for entry, mark in missing), executor):
        done += 1
        if failure is not None:
            failures.append(failure)
        report(done, len(cohort))
    bad = {failure.key for failure in failures}
    kept = [(entry, mark) for entry, mark in zip(cohort, marks, strict=True) if entry.key not in bad]
    order = {entry.key: number for number, entry in enumerate(cohort)}
    failures.sort(key=lambda failure: order[failure.key])
    if not kept:
        raise _none(cohort, failures)
    _gather(out, cohort.name, recipe, kept, old, known)
    shutil.rmtree(out / PARTS, ignore_errors=True)
    return PreparedStore.open(out), failures


def _none(cohort: Cohort, failures: list[Failure]) -> UnlesionError:
    """The error where every scan failed; a failure of ours goes before bad input, and its traceback into the log."""
    ours = [failure for failure in failures if failure.ours]
    words = f"{cohort.name}: no scan could be prepared; the first: {(ours or failures)[0].message}"
    if not ours:
        return BadInput(words)
    if _log.handlers:
        _log.error("%s: failure\n%s", ours[0].key, ours[0].trace.rstrip())
    return UnlesionError(f"{words}; please report it with the log file")


def _nobody(done: int, total: int) -> None:
    return None


def _part(out: Path, mark: str) -> Path:
    return out / PARTS / mark[:2] / f"{mark}.npz"


def _existing(out: Path, recipe: Recipe) -> PreparedStore | None:
    """The store that is there already, if it is of use."""
    try:
        store = PreparedStore.open(out)
    except BadInput:
        return None
    return store if store.recipe.digest == recipe.digest else None


def _work(tasks: Iterator[tuple[Entry, Recipe, Path]], executor: Executor | None) -> Iterator[Failure | None]:
    """Make all items, a few ahead, and yield what came of each as it is done."""
    if executor is None:
        for task in tasks:
            yield make_item(*task)
        return
    running: dict[Future[Failure | None], str] = {}

    def begin(number: int) -> None:
        running.update((executor.submit(make_item, *task), task[0].key) for task in islice(tasks, number))

    try:
        begin(AHEAD)
        while running:
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            begin(len(finished))
            for future in finished:
                yield future.result()
                del running[future]
    except BrokenExecutor as error:
        # The oldest were at work.
        names = ", ".join(list(running.values())[:SUSPECTS])
        raise UnlesionError(
            f"a worker process died while preparing scans, likely at one of {names} (out of memory?); run the same command "
            "again, perhaps with fewer --jobs: what is done is kept. If it dies there again, take that one out"
        ) from error
    finally:
        for future in running:
            future.cancel()


def _gather(
    out: Path,
    cohort: str,
    recipe: Recipe,
    kept: list[tuple[Entry, str]],
    old: PreparedStore | None,
    known: dict[str, int],
) -> None:
    """Copy every item into arrays on disk, one at a time, then let the index name them."""
    rows: list[dict[str, Any]] = []
    prints = prints_of(entry for entry, _ in kept)
    first = 0
    shape: tuple[int, ...] = ()
    for entry, mark in kept:
        item = _fetch(out, mark, old, known)
        if shape and item.images.shape[1:] != shape:
            raise BadInput(
                f"{entry.key}: {count(int(item.images.shape[1]), 'channel')}, other scans have {shape[0]}; "
                "choose scans alike with --where or --channels"
            )
        shape = item.images.shape[1:]
        slices = int(item.images.shape[0])
        row = {**_row(entry), **item.facts, "first": first, "slices": slices, "fingerprint": mark}
        rows.append({**row, "print": prints.get(entry.key, "")})
        first += slices
    name = "data-" + hashlib.sha256("\n".join(mark for _, mark in kept).encode()).hexdigest()[:16]
    folder = out / name
    if not (folder.is_dir() and all(mark in known for _, mark in kept)):
        with whole_folder(folder) as partial:
            _fill(partial, first, shape, rows, (_fetch(out, mark, old, known) for _, mark in kept))
    index = {
        "format": FORMAT,
        "version": VERSION,
        "note": "research use, not a medical device",
        "name": cohort,
        "recipe": recipe.model_dump(mode="json"),
        "recipe_digest": recipe.digest,
        "data": name,
        "scans": rows,
    }
    write_json(out / INDEX, index)
    for other in out.glob("data-*"):
        if other.name != name and _is_ours(other):
            shutil.rmtree(other, ignore_errors=True)


def _fetch(out: Path, mark: str, old: PreparedStore | None, known: dict[str, int]) -> Item:
    if old is not None and mark in known:
        where = old.slices_of(known[mark])
        row = old.scans[known[mark]]
        facts = {name: row[name] for name in FACTS}
        return Item(
            images=old.images[where],
            roi=old.roi[where],
            lesions=old.lesions[where],
            positions=old.positions[where],
            facts=facts,
        )
    item = read_item(_part(out, mark))
    if item is None:
        raise BadInput(f"{_part(out, mark)}: vanished or damaged while it was being used; run it again")
    return item


def _is_ours(folder: Path) -> bool:
    """Whether a folder can only be the arrays of a store: anybody may have folders called data-something."""
    if not DATA.fullmatch(folder.name) or not folder.is_dir():
        return False
    return {file.name for file in folder.iterdir()} <= {f"{name}.npy" for name in ARRAYS}


def _fill(
    folder: Path, slices: int, shape: tuple[int, ...], rows: list[dict[str, Any]], items: Iterator[Item]
) -> None:
    """Write the arrays scan by scan, so that memory does not grow with their number."""
    types = (np.float16, np.uint8, np.uint8, np.float32, np.int64)
    inner_shapes = (shape, shape[1:], shape[1:], (), ())
    kinds = dict(zip(ARRAYS, zip(types, inner_shapes, strict=True), strict=True))
    with ExitStack() as stack:
        files: dict[str, BinaryIO] = {}
        for name, (dtype, inner) in kinds.items():
            files[name] = stack.enter_context((folder / f"{name}.npy").open("wb"))
            head = {
                "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
                "fortran_order": False,
                "shape": (slices, *inner),
            }
            np.lib.format.write_array_header_1_0(files[name], head)
        for number, (row, item) in enumerate(zip(rows, items, strict=True)):
            numbers = np.full(row["slices"], number)
            for name, (dtype, inner) in kinds.items():
                values = numbers if name == "slice_scan" else getattr(item, name)
                if values.shape != (row["slices"], *inner):
                    raise ValueError(f"{name} of scan {number}: {values.shape} for {(row['slices'], *inner)}")
                files[name].write(np.ascontiguousarray(values, dtype=dtype).data)


def _row(entry: Entry) -> dict[str, Any]:
    """The fields of an entry as plain JSON."""
    return {field.name: _plain(getattr(entry, field.name)) for field in fields(Entry)}


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return dict(value) if hasattr(value, "items") else value
