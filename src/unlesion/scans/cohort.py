"""Cohort: the scans of a manifest, a folder or a single file, chosen and split, before they are read."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

from unlesion.errors import BadInput
from unlesion.scans.bids import PARTICIPANTS, is_bids, lacks_description, table_of_bids
from unlesion.scans.content import content_of, length_of
from unlesion.scans.datasets import dataset_named, is_dataset, table_of_dataset
from unlesion.scans.entry import Entry
from unlesion.scans.folder import row_of_image, table_of_folder
from unlesion.scans.formats import ENDINGS, dicom, ending_of
from unlesion.scans.manifest import Table, entries_of, read_rows
from unlesion.scans.mask_labels import labelled_by_masks
from unlesion.scans.selection import join_channels, rows_where
from unlesion.scans.series_rows import files_of_series, table_of_series
from unlesion.scans.splits import check_splits, split_by_subject
from unlesion.wording import count

MANIFEST = "manifest.csv"


@dataclass(frozen=True, kw_only=True, eq=False)
class Cohort:
    """An ordered choice of scans; no image is opened until an entry is read.

    Attributes:
        root: the folder that keys are relative to.
        entries: the scans.
        name: for people.
        volume: which volume of 4-D files was chosen, or None.
        warnings: what was noticed on opening.
    """

    root: Path
    entries: tuple[Entry, ...]
    name: str
    volume: int | None = None
    warnings: tuple[str, ...] = ()

    @classmethod
    def open(
        cls,
        source: str | PathLike[str],
        *,
        root: str | PathLike[str] | None = None,
        where: Sequence[str] = (),
        channels: Sequence[str] = (),
        volume: int | None = None,
    ) -> Cohort:
        """Open a manifest (`.csv`), a BIDS dataset, a folder, a single image, or a public dataset by its name.

        A folder that holds a `manifest.csv` is opened through it, one with a `dataset_description.json` and
        folders `sub-*` as BIDS; of any other, every image and every DICOM series below it is a scan.

        Args:
            source: the manifest, folder or image; or, with `root`, the name of a public dataset.
            root: with a manifest, the folder that its paths are relative to, if not its own; with the name of a public dataset,
                the folder in which that lies as its providers hand it out.
            where: conditions "column=a,b" (a or b), all of which must hold.
            channels: modalities that are joined into one scan, in this order.
            volume: which volume of 4-D files, counted from 0.

        Raises:
            BadInput: there is nothing that can be used; the message says what, where, and what to do.
        """
        source = Path(source)
        is_public = False
        if root is None:
            table, path = _table(source)
            home = path.parent
        else:
            home = Path(root)
            path = source / MANIFEST if is_manifest(source / MANIFEST) else source
            is_public = not is_manifest(path)
            table = (
                table_of_dataset(dataset_named(str(source)), home)
                if is_public
                else table_of_manifest(path, home)
            )
        selected = rows_where(table.rows, where, table.columns, str(source))
        entries = entries_of(path, table.columns, table.rows, selected, root=home, volume=volume)
        warnings = table.warnings + (() if is_public else _notes(source, path, entries))
        if channels:
            entries, left_out = join_channels(entries, channels, str(source))
            warnings += left_out
        _check_keys(entries, source)
        check_splits(entries, str(source))
        name = _name(source, where, channels)
        return cls(root=home, entries=tuple(entries), name=name, volume=volume, warnings=warnings)

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __getitem__(self, index: int) -> Entry:
        return self.entries[index]

    def select(self, *, split: str | Sequence[str] | None = None, label: str | None = None) -> Cohort:
        """The scans of one or several splits, and of one label; may be none."""
        splits = (split,) if isinstance(split, str) else split
        kept = tuple(
            entry
            for entry in self.entries
            if (splits is None or entry.split in splits) and (label is None or entry.label == label)
        )
        return replace(self, entries=kept)

    def labelled(self) -> Cohort:
        """The scans of which it is known whether they show lesions: all but some of folders that do not say.

        Raises:
            BadInput: there is none.
        """
        kept = tuple(entry for entry in self.entries if entry.label != "unknown")
        if self.entries and not kept:
            raise BadInput(
                f"{self.name}: nothing says whether its scans show lesions; let `unlesion manifest` write a table, and fill in its "
                "column label"
            )
        return replace(self, entries=kept)

    def with_splits(self, *, test: bool = False) -> Cohort:
        """This cohort, split 80 / 20 into train and val by subject if it has no splits of its own.

        With `test` 60 / 20 / 20 into train, val and test.
        """
        if any(entry.split for entry in self.entries):
            return self
        splits = split_by_subject([entry.subject for entry in self.entries], test=test)
        return replace(
            self, entries=tuple(replace(entry, split=splits[entry.subject]) for entry in self.entries)
        )

    @property
    def subjects(self) -> tuple[str, ...]:
        """The subjects, each once, in order of appearance."""
        return tuple(dict.fromkeys(entry.subject for entry in self.entries))

    @property
    def digest(self) -> str:
        """16 hex digits of the SHA-256 of what the rows say and what their files say that they hold.

        Of a prepared store, instead of files, of what it holds of each scan, if it knows.
        It does not depend on where the cohort lies, on the order of its rows, nor on the machine that compressed it.
        """
        return self._digest(content_of)

    def is_of(self, recorded: object) -> bool:
        """Whether a digest that a run recorded is of this cohort; older ones are made of the lengths of files."""
        return recorded is not None and (recorded == self.digest or recorded == self._digest(length_of))

    def _digest(self, content: Callable[[Path], int | str]) -> str:
        lines = sorted(
            json.dumps(
                [
                    entry.key,
                    entry.modality,
                    entry.volume,
                    sorted(entry.columns.items()),
                    [entry.content] if entry.content else [content(path) for path in entry.files],
                ]
            )
            for entry in self.entries
        )
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def is_manifest(source: Path) -> bool:
    """Whether it is a file that is named like a manifest."""
    return source.suffix.lower() == ".csv" and source.is_file()


def table_of_manifest(path: Path, root: Path) -> Table:
    """The rows of a manifest, with labels and the files of DICOM series that share a folder.

    Args:
        path: the manifest.
        root: the folder that its paths are relative to.

    Raises:
        BadInput: it cannot be used, or there is no such folder.
    """
    if not root.is_dir():
        raise BadInput(f"--root {root}: no such folder; check the path")
    columns, rows = read_rows(path, root)
    return labelled_by_masks(path, columns, files_of_series(root, rows), root=root)


def _table(source: Path) -> tuple[Table, Path]:
    """The rows of any kind of source, and the path of its (real or imagined) manifest."""
    try:
        is_folder, exists = source.is_dir(), source.exists()
    except (OSError, ValueError):
        is_folder = exists = False
    if not exists:
        if is_dataset(str(source)):
            raise BadInput(f"{source}: a public dataset; say in which folder it lies with --root FOLDER")
        raise BadInput(f"{source}: no such file or folder; check the path")
    if is_folder and not (source / MANIFEST).is_file():
        if is_bids(source):
            return table_of_bids(source), source / PARTICIPANTS
        if lacks_description(source):
            # As a plain folder, its masks and patients would be healthy scans.
            raise BadInput(
                f"{source}: laid out as BIDS, but without dataset_description.json; write that file, with "
                'at least {"Name": "...", "BIDSVersion": "1.8.0"}'
            )
        return table_of_folder(source), source / MANIFEST
    manifest = source / MANIFEST if is_folder else source
    if manifest.suffix.lower() == ".csv":
        return table_of_manifest(manifest, manifest.parent), manifest
    if dicom.is_dicom(source):
        table = table_of_series(source.parent, [source])
        if table.rows:
            return table, source.parent / MANIFEST
    if ending_of(source.name) or dicom.is_dicom(source):
        row = row_of_image(source.name)
        return Table(columns=("path", "subject"), rows=[row]), source.parent / MANIFEST
    raise BadInput(
        f"{source}: neither a manifest (.csv), nor a folder, nor an image ({', '.join(ENDINGS)}); "
        "check the path"
    )


def _notes(source: Path, path: Path, entries: Sequence[Entry]) -> tuple[str, ...]:
    notes = []
    if source.is_dir() and path.name == MANIFEST and not path.is_file():
        subjects = len({entry.subject for entry in entries})
        if subjects < len(entries):
            read = any(entry.series for entry in entries)
            origin = "patient identifiers in DICOM headers" if read else "the names of folders"
            notes.append(
                f"{source}: {count(len(entries), 'image')} of {count(subjects, 'subject')}, taken from {origin}; a manifest can say "
                "otherwise"
            )
    notes += _nameless(path, entries)
    odd = sorted({entry.split for entry in entries if entry.split} - {"train", "val", "test"})
    if odd:
        notes.append(f"{path}: splits other than train, val and test: {', '.join(odd[:5])}")
    nowhere = sum(not entry.split for entry in entries)
    if 0 < nowhere < len(entries):
        notes.append(
            f"{path}: no split in {nowhere} of {count(len(entries), 'row')}: nothing learns from them, calibrates or tests on "
            "them; fill the column in, or leave it out for an automatic one"
        )
    return tuple(notes)


def _nameless(path: Path, entries: Sequence[Entry]) -> list[str]:
    """Rows of a manifest that do not say who they are from; a folder's and BIDS' rows always do."""
    nameless = [entry for entry in entries if not entry.columns.get("subject")]
    people = len({entry.subject for entry in nameless})
    if people < 2:
        return []
    where = f"no subject in {len(nameless)} of {count(len(entries), 'row')}"
    if not any("subject" in entry.columns for entry in nameless):
        where = "no column 'subject'"
    unit = "image" if people == len(nameless) else "scan"
    return [
        f"{path}: {where}, so each of {count(people, unit)} counts as a person of its own; add the subject, or images "
        "of one person may be in both train and val, and p-values and intervals claim too much"
    ]


def _check_keys(entries: Sequence[Entry], source: Path) -> None:
    twice = [key for key, count in Counter(entry.key for entry in entries).items() if count > 1]
    if twice:
        raise BadInput(f"{source}: {twice[0]} is listed twice; keep one row, or choose one with --where")


def _name(source: Path, where: Sequence[str], channels: Sequence[str]) -> str:
    path = source.parent if source.name.lower() == MANIFEST else source
    name = path.resolve().name
    # A manifest of a public dataset is not the dataset.
    is_file = name.lower().endswith(".csv") and not is_dataset(name[: -len(".csv")])
    name = name[: -len(".csv")] if is_file else name
    chosen = [*where, *([f"channels={','.join(channels)}"] if channels else [])]
    return f"{name} ({'; '.join(chosen)})" if chosen else name
