"""Writing files so that they appear whole or not at all."""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unlesion.errors import BadInput


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` if the block succeeds.

    The temporary name ends like the real one (`.part-ab12.x.nii.gz`), so writers that look at the
    ending still work. On any error, Ctrl-C included, the temporary file is removed.

    Raises:
        BadInput: the folder cannot be written, or the disk is full.
        KeyboardInterrupt: Ctrl-C, also where a writer that was stopped halfway made another error of it.
    """
    path = Path(path)
    partial: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".part-", suffix="." + path.name, dir=path.parent)
        os.close(handle)
        partial = Path(name)
        yield partial
        # mkstemp and some writers make files private to the user; results should be as readable as any other file.
        # A hard link has its permissions in common with the file that it links to: those are not ours to change.
        if partial.stat().st_nlink == 1:
            partial.chmod(0o666 & ~_umask())
        os.replace(partial, path)
    except Exception as error:
        if _was_interrupted(error):
            raise KeyboardInterrupt from error
        if isinstance(error, OSError):
            raise cannot_write(path, error) from error
        raise
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; move it to `path` (replacing it) if the block succeeds.

    A folder that was there before is gone only once the new one is in its place. On any error, Ctrl-C
    included, the temporary folder is removed and the old one stays.

    Raises:
        BadInput: the place cannot be written, is a file, or the disk is full.
    """
    path = Path(path)
    partial: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".part-", suffix="." + path.name, dir=path.parent))
        partial.chmod(0o777 & ~_umask())
        yield partial
        _swap(partial, path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        if partial is not None and partial.exists():
            shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def whole_set(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """Yield a temporary folder; move the files that the block writes there into `folder`, all or none.

    Files of an earlier set stay until all new ones are written, then those of `names` are replaced, or removed where the new set has
    none. The last name says that the set is whole: it goes first and comes last, so that no reader meets files of two sets.

    Args:
        folder: may hold other files, which stay.
        names: of all files that a set may have.

    Raises:
        BadInput: the folder cannot be written, or the disk is full.
    """
    folder = Path(folder)
    partial: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".part-", dir=folder))
        yield partial
        (folder / names[-1]).unlink(missing_ok=True)
        for name in dict.fromkeys(names):
            if (partial / name).exists():
                os.replace(partial / name, folder / name)
            else:
                (folder / name).unlink(missing_ok=True)
    except CannotWrite as error:
        # The place within, which is gone again, tells nobody anything.
        cause = error.__cause__
        raise cannot_write(folder, cause) if isinstance(cause, OSError) else error from error
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_table(
    path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]], *, ignore_others: bool = False
) -> None:
    """Write rows as CSV under these columns, whole or not at all; None and what a row lacks become empty cells.

    Args:
        path: the file.
        columns: in their order.
        rows: values by column.
        ignore_others: leave out values under other names, instead of refusing them.

    Raises:
        BadInput: it cannot be written.
        ValueError: a row has a value under another name.
    """
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(
            stream,
            columns,
            restval="",
            extrasaction="ignore" if ignore_others else "raise",
            lineterminator="\n",
        )
        writer.writeheader()
        # The writer itself makes None an empty cell.
        writer.writerows(rows)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all; NaN is refused because JSON has none."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        BadInput: the file is missing or holds no JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInput(f"{path}: no such file; check the path") from error
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(
            f"{path}: not readable as JSON ({error}); restore the file or make it again"
        ) from error


class CannotWrite(BadInput):
    """A place cannot be written: no fault of the scan in hand, and the next one will fare no better."""


def cannot_write(path: Path, error: OSError) -> CannotWrite:
    """The error for a place that cannot be written, from what the system said."""
    reason = error.strerror or str(error)
    return CannotWrite(f"{path}: cannot be written ({reason}); free some space or choose another --out")


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C came first: archives that are closed halfway raise errors of their own over it."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__context__
    return False


def _swap(new: Path, path: Path) -> None:
    """Move the folder `new` to `path`, and what was there away."""
    if not path.exists():
        os.replace(new, path)
        return
    if not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "a file of that name is in the way", str(path))
    old = Path(tempfile.mkdtemp(prefix=".old-", suffix="." + path.name, dir=path.parent))
    try:
        os.replace(path, old)  # an empty folder may be replaced
        os.replace(new, path)
    except BaseException:
        if path.exists():
            old.rmdir()
        else:
            os.replace(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
