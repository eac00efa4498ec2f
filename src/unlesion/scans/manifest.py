"""A manifest: a CSV file with a row an image, paths of files in its folder."""

from __future__ import annotations

import csv
import io
import math
import os
import posixpath
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import cast

from unlesion.errors import BadInput
from unlesion.scans.checks import reason
from unlesion.scans.entry import Entry, Label
from unlesion.scans.formats import dicom, ending_of, without_ending
from unlesion.scans.reading import parse_spacing
from unlesion.wording import count

LABELS = ("healthy", "anomalous")
PATHS = ("path", "mask_path", "roi_path", "twin_path")


@dataclass(frozen=True)
class Row:
    """A row: its number as a spreadsheet shows it (the header is row 1), and its values by column.

    `files` are those of its DICOM series, relative to the manifest's folder, where they are known already;
    `path` then only names it.
    """

    number: int
    values: dict[str, str]
    files: tuple[str, ...] = ()

    def get(self, column: str) -> str:
        """The value of a column, "" where it is empty or there is no such column."""
        return self.values.get(column, "")


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows before they are selected, and what was noticed in finding them."""

    columns: tuple[str, ...]
    rows: list[Row]
    warnings: tuple[str, ...] = ()


def read_rows(path: Path, root: Path | None = None) -> tuple[tuple[str, ...], list[Row]]:
    """Read the columns and rows of a manifest as text.

    Args:
        path: the manifest.
        root: what its paths are relative to; None: its folder.

    Raises:
        BadInput: not readable, no text in UTF-8, no CSV, no column `path`, or no row.
    """
    table = _table(path)
    columns = tuple(name.strip() for name in table[0]) if table else ()
    if not columns or not any(columns):
        raise BadInput(f"{path}: the manifest is empty; write a CSV file with a column 'path'")
    if "path" not in columns:
        shown = ", ".join(columns)
        hint = "separate columns with commas" if len(columns) == 1 and _other_separator(columns[0]) else ""
        if "path" in map(str.lower, columns):
            hint = "names of columns are in small letters"
        raise BadInput(
            f"{path}: the manifest has no column 'path' but {_short(shown)!r}; "
            f"{hint or 'name the images in one'}"
        )
    twice = [name for name, count in Counter(filter(None, columns)).items() if count > 1]
    if twice:
        raise BadInput(f"{path}: column {_short(twice[0])!r} appears twice; rename one")
    rows = []
    for number, fields in enumerate(table[1:], start=2):
        if not any(field.strip() for field in fields):
            continue
        if len(fields) != len(columns):
            raise BadInput(
                f"{path}: row {number} has {count(len(fields), 'value')} for {count(len(columns), 'column')}; "
                "put values that hold a comma in quotes"
            )
        values = {name: field.strip() for name, field in zip(columns, fields, strict=True) if name}
        values.update(
            {name: _relative(root or path.parent, values[name]) for name in PATHS if name in values}
        )
        rows.append(Row(number, values))
    if not rows:
        raise BadInput(f"{path}: the manifest lists no images; add a row for each")
    return columns, rows


def entries_of(
    path: Path,
    columns: Sequence[str],
    rows: Sequence[Row],
    selected: Sequence[Row],
    *,
    root: Path,
    volume: int | None,
) -> list[Entry]:
    """Turn the selected rows of a manifest into entries, one a row.

    All rows are needed, so that keys and subjects do not depend on what is selected.

    Args:
        path: the manifest.
        columns: its columns.
        rows: all of them.
        selected: those that become entries.
        root: the folder that paths are relative to.
        volume: which volume of 4-D files.

    Raises:
        BadInput: a wrong value, or a path out of the folder; the message names the row.
    """
    entry_of = reader_of(path, columns, rows, root=root, volume=volume)
    return [entry_of(row) for row in selected]


def reader_of(
    path: Path, columns: Sequence[str], rows: Sequence[Row], *, root: Path, volume: int | None
) -> Callable[[Row], Entry]:
    """What turns a row into an entry; it raises `BadInput`, and has arguments, as `entries_of`."""
    crowded = _crowded_keys(rows)
    shared = _subjects_in_several_sources(rows)

    def entry_of(row: Row) -> Entry:
        relative = inside(path, row, "path")
        if relative is None:
            raise BadInput(f"{path}: row {row.number} has no path; name its image or delete the row")
        key = without_ending(relative)
        key = relative if key in crowded else key
        scan_id = row.get("scan") or key
        subject = row.get("subject") or scan_id
        if subject in shared:
            subject = f"{row.get('source')}/{subject}"
        image, series = _image(root, relative, row.files)
        mask, roi, twin = (inside(path, row, f"{kind}_path") for kind in ("mask", "roi", "twin"))
        return Entry(
            key=key,
            paths=(image,),
            series=(series,) if series else (),
            mask_path=None if mask is None else root / mask,
            mask_values=mask_values(path, row),
            roi_path=None if roi is None else root / roi,
            twin_paths=() if twin is None else (root / twin,),
            subject=subject,
            scan_id=scan_id,
            position=_position(path, row),
            modality=(row.get("modality"),),
            label=_label(path, row, "label" in columns),
            pathology=row.get("pathology"),
            split=row.get("split") or None,
            spacing_mm=_spacing(path, row),
            volume=volume,
            columns=row.values,
        )

    return entry_of


def _image(root: Path, relative: str, files: Sequence[str]) -> tuple[Path, tuple[Path, ...]]:
    """Where the image of a row lies, and its files if it is a DICOM series."""
    if files:
        together = posixpath.commonpath([posixpath.dirname(name) for name in files])
        return root / (files[0] if len(files) == 1 else together), tuple(root / name for name in files)
    image = root / relative
    # Only names without an ending, or with one of DICOM's, can be its folders; asking for each would be slow on a
    # network.
    if ending_of(relative) not in ("", *dicom.ENDINGS) or not image.is_dir():
        return image, ()
    return image, dicom.files_of(image)


def _table(path: Path) -> list[list[str]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: the manifest cannot be read ({reason(error)}); check the path") from error
    if b"\0" in data:
        raise BadInput(
            f"{path}: not a manifest but binary data; give a CSV file with a column 'path', saved as 'CSV UTF-8'"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(
            f"{path}: the manifest is not text in UTF-8 (byte {error.start}); save it as 'CSV UTF-8'"
        ) from error
    try:
        return list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise BadInput(
            f"{path}: the manifest is not a CSV table ({reason(error)}); save it again as CSV"
        ) from error


def inside(path: Path, row: Row, column: str) -> str | None:
    """A path of a row relative to the folder that paths are relative to; None where the cell is empty.

    Symbolic links inside the folder may lead out of it (that is how data managers store large files); the
    text of the path may not.
    """
    text = row.get(column)
    if not text:
        return None
    clean = posixpath.normpath(text)
    if clean.startswith(("/", "..")) and (clean[0] == "/" or PurePosixPath(clean).parts[0] == ".."):
        raise BadInput(
            f"{path}: row {row.number}, {column} {_short(text)!r} leads out of the folder; "
            "put the manifest into a folder above all images"
            + (", or name such a folder with --root" if clean[0] == "/" else "")
        )
    if clean == ".":
        raise BadInput(f"{path}: row {row.number}, {column} {_short(text)!r} names no file; name an image")
    return clean


def _relative(root: Path, text: str) -> str:
    """An absolute path below the folder as one relative to it, so that keys do not depend on where the folder lies."""
    if not text.startswith("/"):
        return text
    clean = posixpath.normpath(text)
    for base in (os.path.abspath(root), os.path.realpath(root)):
        if clean.startswith(base.rstrip("/") + "/"):
            return posixpath.relpath(clean, base)
    return text


def _position(path: Path, row: Row) -> float | None:
    text = row.get("position")
    if not text:
        return None
    try:
        position = float(text)
    except ValueError:
        position = -1.0
    if not 0 <= position <= 1:
        raise BadInput(
            f"{path}: row {row.number}, position {_short(text)!r} is not a number between 0 (lowest slice) "
            "and 1 (highest); correct it or leave it empty"
        )
    return position


def _label(path: Path, row: Row, given: bool) -> Label:
    if not given:
        return "healthy"
    text = row.get("label")
    if not text and not path.is_file():
        # No manifest but a folder that says it of others.
        return "unknown"
    if text not in LABELS:
        # An empty cell is no "healthy": what learns from healthy scans must not learn from unread ones.
        raise BadInput(
            f"{path}: row {row.number}, label {_short(text)!r} is unknown; write 'healthy' or 'anomalous', "
            "or leave out the column"
        )
    return cast(Label, text)


def mask_values(path: Path, row: Row) -> tuple[float, ...]:
    """The values of a row's mask that are lesion; empty where all above 0 are.

    Raises:
        BadInput: not numbers above 0.
    """
    text = row.get("mask_values")
    if not text:
        return ()
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = (0.0,)
    if not all(0 < value < math.inf for value in values):
        raise BadInput(
            f"{path}: row {row.number}, mask_values {_short(text)!r} are not numbers above 0; "
            "write the values that are lesion, such as 1 or '1,4', or leave it empty"
        )
    return values


def _spacing(path: Path, row: Row) -> tuple[float, ...] | None:
    text = row.get("spacing_mm")
    if not text:
        return None
    try:
        return parse_spacing(text)
    except ValueError as error:
        raise BadInput(
            f"{path}: row {row.number}, spacing_mm {_short(text)!r} is not one to three positive numbers; "
            "write millimetres such as 0.7 or '0.7,0.7,3'"
        ) from error


def _crowded_keys(rows: Sequence[Row]) -> set[str]:
    """Keys that two different files would share ("x.png" and "x.npy"): these keep their endings."""
    files: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        clean = posixpath.normpath(row.get("path"))
        files[without_ending(clean)].add(clean)
    return {key for key, names in files.items() if len(names) > 1}


def _subjects_in_several_sources(rows: Sequence[Row]) -> set[str]:
    """Subject identifiers are unique within a source only; those that are not in all are marked."""
    sources: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.get("subject"):
            sources[row.get("subject")].add(row.get("source"))
    return {subject for subject, names in sources.items() if len(names) > 1}


def _other_separator(header: str) -> bool:
    return any(separator in header for separator in ";\t|")


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 80 else text[:77] + "..."
