"""Sessions on one grid, as files and a manifest: in parallel, resumable, each whole or not at all."""

from __future__ import annotations

import functools
import hashlib
import json
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unlesion.errors import BadInput, in_words
from unlesion.files import CannotWrite, read_json, whole_file, whole_set, write_json, write_table
from unlesion.parallel import as_they_come
from unlesion.prepare.item import Failure
from unlesion.prepare.one_grid import Joined, on_one_grid
from unlesion.scans import Cohort, Entry
from unlesion.scans.cohort import MANIFEST
from unlesion.scans.formats import nifti
from unlesion.scans.names import word_of
from unlesion.scans.prints import state_of

# In the folder of each session.
RECORD = "session.json"
# Beside these folders: by the last the output is known to be one of `align`, and whether its manifest is still as it was written.
PAGE, CLAIM = "report.html", "align.json"
# Goes up when the same files would come out differently: older sessions are then done again.
VERSION = 1
# What a manifest says of files, and of the originals alone.
_OF_FILES = frozenset(
    {
        "path",
        "mask_path",
        "roi_path",
        "twin_path",
        "spacing_mm",
        "modality",
        "series",
        "description",
        "format",
    }
)


@dataclass(frozen=True, kw_only=True)
class Session:
    """A scan whose channels lie on one grid now.

    Attributes:
        key: of the scan, and its folder below the output.
        rows: of the manifest, one a channel.
        warnings: what was noticed.
    """

    key: str
    rows: tuple[Mapping[str, str], ...]
    warnings: tuple[str, ...]


def claim(out: Path, cohort: Cohort, *, among: bool) -> None:
    """Make a folder one for the sessions of a cohort.

    Args:
        out: the folder; it may be missing.
        cohort: with joined channels.
        among: whether what lies below the cohort's folder belongs to it (no manifest names its images).

    Raises:
        BadInput: it holds anything but sessions of the same channels, or a manifest that was changed by hand, or is the folder of the
            originals.
    """
    out = Path(out)
    here, root = out.resolve(), cohort.root.resolve()
    if here == root or (among and root in here.parents):
        raise BadInput(
            f"--out {out}: lies among the originals, which stay as they are; choose another folder"
        )
    modalities = list(next(iter(cohort)).modality)
    if not (out / CLAIM).exists():
        others = [path.name for path in out.iterdir() if path.name[0] != "."] if out.is_dir() else []
        if others:
            raise BadInput(
                f"{out}: holds other files ({', '.join(sorted(others)[:3])}); choose a folder of its own"
            )
    else:
        record = read_json(out / CLAIM)
        channels = record.get("channels") if isinstance(record, dict) else None
        if not isinstance(channels, list):
            raise BadInput(f"{out / CLAIM}: not written by `align`; choose another --out")
        if channels != modalities:
            raise BadInput(
                f"{out}: holds sessions of other channels ({', '.join(map(str, channels))}); choose another folder"
            )
        # Earlier versions took no note of it.
        if (
            "manifest" in record
            and (out / MANIFEST).exists()
            and record["manifest"] != _sha256(out / MANIFEST)
        ):
            raise BadInput(
                f"{out / MANIFEST}: was changed since it was written; move it away, or choose another --out"
            )
    _claim(out, modalities, manifest=out / MANIFEST)


def _claim(out: Path, modalities: Sequence[str], *, manifest: Path) -> None:
    written = _sha256(manifest) if manifest.exists() else None
    notice = "For research use only; not a medical device."
    write_json(out / CLAIM, {"notice": notice, "channels": list(modalities), "manifest": written})


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_sessions(
    cohort: Cohort,
    out: Path,
    *,
    register: bool,
    executor: Executor | None = None,
    done: Callable[[str], None] = lambda key: None,
) -> tuple[list[Session], list[Failure]]:
    """Write every scan of a cohort with its channels on the grid of the first, and `manifest.csv`.

    What is there already, made of the same files in the same way, is not made again.

    Args:
        cohort: with joined channels.
        out: the folder; it gets one for each scan, with a file a channel, the mask and the roi.
        register: whether channels are moved onto the first, or lie where their headers say.
        executor: where it is done; None: in this process.
        done: told the key of each scan.

    Returns:
        The sessions in the order of the cohort, and what could not be done.

    Raises:
        BadInput: `out` cannot be written.
        UnlesionError: a worker process died.
    """
    out = Path(out)
    # Until all are done there is nothing that could be taken for the whole.
    for name in (MANIFEST, PAGE):
        (out / name).unlink(missing_ok=True)
    work = functools.partial(_write, out=out, register=register)
    found: dict[str, Session] = {}
    failures = []
    for made in as_they_come(work, list(cohort), executor=executor, doing="aligning scans"):
        if isinstance(made, Failure):
            failures.append(made)
        else:
            found[made.key] = made
        done(made.key)
    sessions = [found[entry.key] for entry in cohort if entry.key in found]
    if sessions:
        rows = [row for session in sessions for row in session.rows]
        with whole_file(out / MANIFEST) as partial:
            write_table(partial, list(dict.fromkeys(name for row in rows for name in row)), rows)
            # First: interrupted in between, there is a claim without its manifest, which can be made again.
            _claim(out, [row["modality"] for row in sessions[0].rows], manifest=partial)
    return sessions, failures


def sessions_beside(out: Path, keys: Sequence[str]) -> list[str]:
    """Sessions in the folder that have none of these keys, such as those of an earlier call that asked for others."""
    found = sorted(path.parent.relative_to(out).as_posix() for path in out.rglob(RECORD))
    return [key for key in found if key not in set(keys)]


def _write(entry: Entry, *, out: Path, register: bool) -> Session | Failure:
    folder = out / entry.key
    try:
        state = _state(entry, register)
        record = _known(folder, entry, state)
        if record is None:
            joined = on_one_grid(entry, register=register)
            record = {
                "notice": "For research use only; not a medical device.",
                "state": state,
                "warnings": list(joined.warnings),
                "channels": [
                    {
                        "modality": name,
                        "moved_mm": round(mm, 2),
                        "turned_degrees": round(turn, 2),
                        "seen": round(seen, 3),
                    }
                    for name, mm, turn, seen in zip(
                        entry.modality, joined.moved_mm, joined.turned, joined.seen, strict=True
                    )
                ],
            }
            # Not the whole folder: another scan may lie below it.
            with whole_set(folder, [*_files_of(entry), RECORD]) as new:
                _write_files(new, entry, joined)
                write_json(new / RECORD, record)
    except CannotWrite:
        raise
    except Exception as error:
        ours = not isinstance(error, BadInput)
        trace = traceback.format_exc() if ours else ""
        return Failure(key=entry.key, message=in_words(entry.key, error), ours=ours, trace=trace)
    return Session(key=entry.key, rows=tuple(_rows(entry)), warnings=tuple(record["warnings"]))


def _write_files(folder: Path, entry: Entry, joined: Joined) -> None:
    for name, voxels in zip(file_names(entry.modality), joined.voxels, strict=True):
        nifti.write(folder / name, voxels, joined.grid, dtype=np.float32)
    if joined.mask is not None:
        # Labels are whole numbers, but for what a slope makes of them.
        nifti.write(folder / "mask", joined.mask, joined.grid, dtype=np.float32)
    if joined.roi is not None:
        nifti.write(folder / "roi", (joined.roi > 0).astype(np.uint8), joined.grid, dtype=np.uint8)


def file_names(modalities: Sequence[str]) -> list[str]:
    """The names of the channels' files, without their ending; no two are alike, nor like that of another file of a session."""
    taken = {"mask", "roi"}
    names = []
    for modality in modalities:
        bare = word_of(modality, otherwise="image")
        name = next(
            n
            for n in (bare, *(f"{bare}-{k}" for k in range(2, len(modalities) + 3)))
            if n.lower() not in taken
        )
        taken.add(name.lower())
        names.append(name)
    return names


def _files_of(entry: Entry) -> list[str]:
    return [f"{name}.nii.gz" for name in (*file_names(entry.modality), "mask", "roi")]


def _rows(entry: Entry) -> list[dict[str, str]]:
    own = {name: value for name, value in entry.columns.items() if name and name not in _OF_FILES}
    # Only the row of the channel that has the mask says what its values mean.
    values = (
        {"mask_values": ",".join(f"{value:g}" for value in entry.mask_values)} if entry.mask_values else {}
    )
    return [
        {
            "path": f"{entry.key}/{file}.nii.gz",
            "mask_path": f"{entry.key}/mask.nii.gz" if entry.mask_path else "",
            "roi_path": f"{entry.key}/roi.nii.gz" if entry.roi_path else "",
            **own,
            **values,
            "subject": entry.subject,
            "scan": entry.scan_id,
            "modality": name,
        }
        for name, file in zip(entry.modality, file_names(entry.modality), strict=True)
    ]


def _state(entry: Entry, register: bool) -> list[Any]:
    """Changes with the files that a session is made of, with what each of them is, and with how it is made."""
    files = [state_of(path) for path in entry.images]
    others = [None if path is None else state_of(path) for path in (entry.mask_path, entry.roi_path)]
    return [
        VERSION,
        register,
        list(entry.modality),
        entry.volume,
        files,
        others,
        entry.mask_channel,
        entry.roi_channel,
    ]


def _known(folder: Path, entry: Entry, state: Sequence[Any]) -> dict[str, Any] | None:
    """The record of a session that was made of the same, and is there; None if it is not."""
    wanted = [
        Path(row[name]).name
        for row in _rows(entry)
        for name in ("path", "mask_path", "roi_path")
        if row[name]
    ]
    if not all((folder / name).is_file() for name in wanted):
        return None
    try:
        found = read_json(folder / RECORD)
    except BadInput:
        return None
    same = isinstance(found, dict) and found.get("state") == json.loads(json.dumps(state))
    return found if same and isinstance(found.get("warnings"), list) else None
