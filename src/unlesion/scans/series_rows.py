"""The DICOM series below a folder as rows of a cohort."""

from __future__ import annotations

import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from unlesion.errors import BadInput
from unlesion.scans.formats import dicom, ending_of, without_ending
from unlesion.scans.manifest import Row, Table
from unlesion.scans.names import word_of

COLUMNS = (
    "path", "subject", "scan", "modality", "series", "description", "sex", "age", "scanner", "format",
)  # fmt: skip

# What anonymisers write for everybody; such an identifier tells nobody from anybody.
_NOBODY = re.compile(
    r"|0+|anon(ym(ous|i[sz]ed|i[sz]ation)?)?|unknown|none|n/?a|removed|deidentified|x+", re.IGNORECASE
)

_SHOWN = 3


def table_of_series(root: Path, files: Sequence[Path]) -> Table:
    """One row a series that could be a scan; the others are named in warnings.

    `path` names a series by its folder where that holds no other, by its file where it has but one, else by
    folder, number and description. `subject` is the patient's identifier (or the first folder where that is
    empty or the same word for everybody), `scan` the study's. `modality` is guessed.

    Args:
        root: the folder of the cohort.
        files: the DICOM files below it.
    """
    headers, unreadable = [], []
    for file in files:
        try:
            headers.append(dicom.read_header(file))
        except BadInput as error:
            unreadable.append(str(error))
    # Not images, and not worth a word each: indices of media, reports, plans.
    found = [series for series in dicom.gather(headers) if series.first.get("Modality") or series.frames]
    scans = [series for series in found if not dicom.no_scan(series)]
    warnings = list(unreadable[:_SHOWN])
    if len(unreadable) > _SHOWN:
        warnings.append(f"{root}: {len(unreadable) - _SHOWN} more files are not readable as DICOM")
    warnings += _left_out(root, [series for series in found if dicom.no_scan(series)])
    rows = [_row(root, series, name) for series, name in zip(scans, _names(root, scans), strict=True)]
    warnings += _guesses(root, rows) + _taken_apart(root, scans)
    return Table(columns=COLUMNS, rows=rows, warnings=tuple(warnings))


def files_of_series(root: Path, rows: Sequence[Row]) -> list[Row]:
    """Rows of a manifest, with the files of those that name a DICOM series which shares its folder with others.

    Such a series has no file or folder of its own that could be named; it goes by the name that `table_of_series` gives it,
    and `unlesion manifest` writes.

    Args:
        root: the folder that paths are relative to.
        rows: of the manifest.

    Raises:
        BadInput: a folder that must be looked through cannot be read.
    """
    names = {row.get("path"): posixpath.normpath(row.get("path")) for row in rows if row.get("path")}
    # What leads out of the folder is refused later, in words of its own.
    asked = {
        name
        for name in names.values()
        if not ending_of(name)
        and PurePosixPath(name).parts[:1] not in (("/",), ("..",))
        and not (root / name).exists()
    }
    places = {_there(root, root / path) for path in asked}
    # What lies below another place is found with that.
    places = {place for place in places if not any(above in places for above in place.parents)}
    found: dict[str, tuple[str, ...]] = {}
    for place in places:
        try:
            files = [file for file in dicom.files_below(place) if not is_plain(file) and dicom.is_dicom(file)]
        except OSError as error:
            raise BadInput(
                f"{error.filename or place}: cannot be read ({error.strerror}); check its permissions"
            ) from error
        found.update({row.get("path"): row.files for row in table_of_series(root, files).rows})
    if not found:
        return list(rows)
    return [replace(row, files=row.files or found.get(names.get(row.get("path"), ""), ())) for row in rows]


def _there(root: Path, path: Path) -> Path:
    """The folder nearest above a path that is there; at most `root`."""
    return next((place for place in path.parents if place == root or place.is_dir()), root)


def is_plain(file: Path) -> bool:
    """Whether the ending says that it is an image, and no DICOM."""
    ending = ending_of(file.name)
    return bool(ending) and ending not in dicom.ENDINGS


def _row(root: Path, series: dicom.Series, name: str) -> Row:
    header = series.first
    patient = header.get("PatientID")
    first, slash, _ = name.partition("/")
    scanner = " ".join(filter(None, (header.get("Manufacturer"), header.get("ManufacturerModelName"))))
    values = {
        "path": name,
        "subject": (first if slash else without_ending(name)) if _NOBODY.fullmatch(patient) else patient,
        "scan": header.study,
        "modality": dicom.guess_modality(header),
        "series": header.get("SeriesNumber"),
        "description": header.get("SeriesDescription"),
        "sex": header.get("PatientSex"),
        "age": _years(header.get("PatientAge")),
        "scanner": scanner,
        "format": "dicom",
    }
    return Row(0, values, tuple(file.relative_to(root).as_posix() for file in series.files))


def _names(root: Path, scans: Sequence[dicom.Series]) -> list[str]:
    """A name for each, relative to the cohort; unique."""
    folders = [_folder(root, series) for series in scans]
    here = Counter(folders)
    above = {str(parent) for folder in here for parent in PurePosixPath(folder).parents}
    names = []
    for series, folder in zip(scans, folders, strict=True):
        if series.is_projection or (len(series.files) == 1 and (here[folder] > 1 or folder == "")):
            names.append(series.files[0].relative_to(root).as_posix())
        elif here[folder] == 1 and folder and folder not in above:
            names.append(folder)
        elif here[folder] == 1 and not folder:
            names.append(word_of(root.resolve().name, otherwise="series"))
        else:
            names.append(posixpath.join(folder, word_of(series.title, otherwise="series")))
    return _unique(names)


def _unique(names: Sequence[str]) -> list[str]:
    """The names, with numbers behind those that occur more than once."""
    count, taken, out = Counter(names), set(names), []
    seen: defaultdict[str, int] = defaultdict(int)
    for name in names:
        new = name
        while count[name] > 1 and (new == name or new in taken):
            seen[name] += 1
            new = f"{name}-{seen[name]}"
        taken.add(new)
        out.append(new)
    return out


def _folder(root: Path, series: dicom.Series) -> str:
    """The folder that holds all files of a series, relative to the cohort; "" for the cohort's own."""
    parents = {file.relative_to(root).parent.as_posix() for file in series.files}
    common = posixpath.commonpath(parents)
    return "" if common == "." else common


def _years(age: str) -> str:
    """Years out of a DICOM age ("042Y", "018M"), "" where it is none."""
    match = re.fullmatch(r"(\d{1,3})([YMWD]?)", age.strip().upper())
    if not match:
        return ""
    years = int(match[1]) / {"": 1.0, "Y": 1.0, "M": 12.0, "W": 52.18, "D": 365.25}[match[2]]
    return f"{years:.3g}"


def _left_out(root: Path, series: Sequence[dicom.Series]) -> list[str]:
    """One line, by reason, with the first of each named."""
    if not series:
        return []
    reasons: defaultdict[str, list[str]] = defaultdict(list)
    for one in series:
        reasons[dicom.no_scan(one)].append(f"{_place(root, one)} {one.title!r}")
    parts = [
        f"{reason}: {', '.join(names[:_SHOWN])}"
        + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
        for reason, names in reasons.items()
    ]
    return [f"{root}: {len(series)} DICOM series left out, no scans: {'; '.join(parts)}"]


def _guesses(root: Path, rows: Sequence[Row]) -> list[str]:
    if not rows:
        return []
    counts = Counter(row.get("modality") or "unknown" for row in rows)
    shown = ", ".join(f"{count} {name}" for name, count in counts.most_common())
    return [f"{root}: modality guessed from DICOM headers ({shown}); a manifest can say otherwise"]


def _taken_apart(root: Path, scans: Sequence[dicom.Series]) -> list[str]:
    parts: defaultdict[str, list[dicom.Series]] = defaultdict(list)
    for series in scans:
        if series.part and not series.is_projection:
            parts[series.first.series].append(series)
    return [
        f"{root}: {_place(root, group[0])}: series {replace(group[0], part='').title!r} holds images that do not belong "
        f"together and was taken apart: {', '.join(one.part for one in group)}"
        for group in parts.values()
    ]


def _place(root: Path, series: dicom.Series) -> str:
    return _folder(root, series) or "the folder itself"
