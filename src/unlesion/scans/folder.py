"""A plain folder of images, or a single image, as rows of a cohort."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from unlesion.errors import BadInput
from unlesion.files import read_json
from unlesion.scans.formats import ENDINGS, dicom, ending_of, without_ending
from unlesion.scans.manifest import Row, Table
from unlesion.scans.names import contrast_in, is_named_like_mask, words_of
from unlesion.scans.series_rows import is_plain, table_of_series
from unlesion.scans.sorted_folder import sorted_by_folders
from unlesion.wording import count

# Ends what a manifest mends; who writes one need not be told.
WRITES_ONE = "(`unlesion manifest` writes one)"


def table_of_folder(root: Path) -> Table:
    """Every image below a folder, in the order of their names; hidden files are left out.

    The subject is the first folder below `root`, or the file's own name where it lies in `root` itself, unless folders are named
    after parts, labels or masks: see `sorted_by_folders`.
    The files of a DICOM series, whatever their names, are one image; its subject is the patient's
    identifier.

    Raises:
        BadInput: the folder cannot be read, or holds no image.
    """
    try:
        files = dicom.files_below(root)
    except OSError as error:
        raise BadInput(
            f"{root}: the folder cannot be read ({error.strerror}); check its permissions"
        ) from error
    # What detection wrote among them is no scan.
    results = {path for file in files if file.name == "detection.json" for path in _written_with(file)}
    files = [file for file in files if file not in results]
    plain = [file.relative_to(root).as_posix() for file in files if is_plain(file)]
    series = table_of_series(root, [file for file in files if not is_plain(file) and dicom.is_dicom(file)])
    rows = [row_of_image(path) for path in plain]
    columns: tuple[str, ...] = ("path", "subject")
    warnings = series.warnings
    if series.rows:
        columns = series.columns
        rows = [
            Row(row.number, {**dict.fromkeys(columns, ""), **row.values, "format": _format(row)})
            for row in rows
        ]
        if rows:
            warnings += (
                f"{root}: holds {len(series.rows)} DICOM series and {len(rows)} other images, each a scan of its "
                "own; choose with --where format=dicom",
            )
    rows = sorted([*rows, *series.rows], key=lambda row: row.get("path"))
    if not rows:
        left = f" ({'; '.join(series.warnings)})" if series.warnings else ""
        raise BadInput(
            f"{root}: the folder holds no image{left}; put {', '.join(ENDINGS)} files or DICOM series in it"
        )
    taken = {*plain, *(name for row in series.rows for name in (row.files or (row.get("path"),)))}
    others = [path for path in (file.relative_to(root).as_posix() for file in files) if path not in taken]
    found = sorted_by_folders(root, columns, rows, others=others)
    # Those that became masks of others are no scans.
    scans = {row.get("path") for row in found.rows}
    warnings += _named_apart(root, [path for path in plain if path in scans]) + found.warnings
    numbered = [Row(number, row.values, row.files) for number, row in enumerate(found.rows, start=1)]
    return Table(columns=found.columns, rows=numbered, warnings=warnings)


def _written_with(record: Path) -> list[Path]:
    """The files that detection wrote beside its record; others in that folder are somebody else's."""
    try:
        names = read_json(record)["files"]
    except (BadInput, TypeError, KeyError):
        return [record]
    return [record, *(record.parent / str(name) for name in names)] if isinstance(names, list) else [record]


def row_of_image(path: str, number: int = 1) -> Row:
    """The row of an image at a path relative to its cohort."""
    first, slash, _ = path.partition("/")
    return Row(number, {"path": path, "subject": first if slash else without_ending(path)})


def _format(row: Row) -> str:
    return ending_of(row.get("path")).lstrip(".")


def _named_apart(root: Path, paths: Sequence[str]) -> tuple[str, ...]:
    """What to say where names of files speak of several contrasts or of masks, of which a plain folder knows nothing."""
    words = [words_of(path) for path in paths]
    notes = []
    contrasts = Counter(filter(None, map(contrast_in, words)))
    if len(contrasts) > 1:
        names = ", ".join(f"{name} ({number})" for name, number in sorted(contrasts.items()))
        notes.append(
            f"{root}: by their names files are of several contrasts: {names}; a plain folder does not tell them apart and takes "
            f"all for one kind: give a manifest with a column modality {WRITES_ONE}"
        )
    masks = sum(is_named_like_mask(own) for own in words)
    if masks:
        notes.append(
            f"{root}: {count(masks, 'file')} named like masks; in a plain folder each is a scan of its own: give a manifest "
            f"with a column mask_path {WRITES_ONE}"
        )
    return tuple(notes)
