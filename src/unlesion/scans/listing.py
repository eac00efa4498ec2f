"""A cohort as a manifest that one can correct: what was understood of a folder, written down."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from unlesion.files import write_table
from unlesion.scans.cohort import Cohort
from unlesion.scans.entry import Entry
from unlesion.scans.names import (
    contrast_in,
    is_named_like_mask,
    mask_of,
    others_in,
    without_contrast,
    words_of,
)
from unlesion.scans.reading import has_marks
from unlesion.wording import count

# Always there, to be filled in, in this order; then what the cohort has besides. No `label`, which would stand above masks that are
# filled in later, unless the cohort has one.
COLUMNS = ("path", "mask_path", "roi_path", "subject", "scan", "modality", "label", "pathology", "split")
_ASKED = frozenset(COLUMNS) - {"label", "roi_path"}


def write_listing(cohort: Cohort, path: Path) -> list[str]:
    """Write the rows of a cohort as a manifest whose paths are relative to the cohort's folder.

    Where a cohort knows nothing but names (a plain folder), the modality is guessed from these, and files named like masks become
    masks of images: of lesions, or of the brain where the name says so. Where one of lesions belongs to no image,
    images without one get an empty label, which nothing reads before somebody fills it in.

    Args:
        cohort: what to write; not with joined channels.
        path: the file.

    Returns:
        What was guessed, a line each.

    Raises:
        BadInput: it cannot be written.
    """
    rows = [{**entry.columns, "split": entry.split or ""} for entry in cohort]
    said: list[str] = []
    if not any("mask_path" in row or "label" in row for row in rows):
        rows, said = _guessed(cohort, rows)
    elif not any("modality" in row for row in rows):
        rows, said = _with_modality(rows)
    there = {name for row in rows for name in row if name}
    columns = [name for name in COLUMNS if name in there | _ASKED]
    columns += [
        name for name in dict.fromkeys(name for row in rows for name in row) if name and name not in columns
    ]
    write_table(path, columns, [{name: row[name] for name in row if name} for row in rows])
    return said


@dataclass(frozen=True, eq=False)
class _File:
    """A file with what its name says."""

    path: str
    folder: str
    words: frozenset[str]

    @cached_property
    def whose(self) -> frozenset[str]:
        return others_in(self.words)

    @cached_property
    def contrast(self) -> str:
        return contrast_in(self.words)

    def fits(self, image: _File) -> bool:
        """Whether a mask may be of an image: one of another contrast may lie on another grid."""
        return self.contrast in ("", image.contrast)


def _file(entry: Entry, root: Path) -> _File:
    path = entry.columns["path"]
    # A series may be named after the folder that holds it.
    together = entry.paths[0] if len(entry.images) > 1 else (root / path).parent
    folder = together.relative_to(root).as_posix()
    return _File(path, "" if folder == "." else folder, words_of(path))


def _guessed(cohort: Cohort, rows: Sequence[dict[str, str]]) -> tuple[list[dict[str, str]], list[str]]:
    files = {entry.columns["path"]: _file(entry, cohort.root) for entry in cohort}
    # A DICOM series is named after its description, and is no mask.
    series = {entry.columns["path"] for entry in cohort if entry.series}
    masks = {path for path, file in files.items() if path not in series and is_named_like_mask(file.words)}
    if len(masks) == len(rows):
        return list(rows), []
    of = {
        what: [files[p] for p in sorted(masks) if mask_of(files[p].words) == what]
        for what in ("lesions", "brain", "either")
    }
    if of["lesions"]:
        # Beside masks of lesions a region of interest is that of the brain.
        regions = [mask for mask in of["either"] if "ROI" in mask.words]
        of["brain"] += regions
        of["either"] = [mask for mask in of["either"] if mask not in regions]
    images = [file for path, file in files.items() if path not in masks]
    of_lesions, of_brains = _owners(images, of["lesions"]), _owners(images, of["brain"])
    given = set(of_lesions.values())
    lost = [mask.path for mask in (*of["lesions"], *of["either"]) if mask.path not in given]
    out, named = [], 0
    for row in rows:
        path = row["path"]
        if path in masks:
            continue
        file = files[path]
        guess = "" if row.get("modality") else file.contrast
        named += bool(guess)
        new = {**row, "modality": row.get("modality") or guess, "mask_path": of_lesions.get(path, "")}
        if not file.folder and guess:
            # At the top a file is taken for a person; its other contrasts are of the same.
            new["subject"] = without_contrast(row["subject"])
        if of["brain"]:
            new["roi_path"] = of_brains.get(path, "")
        if lost:
            # A mask that cannot be read may mark anything.
            is_marked = new["mask_path"] and has_marks(cohort.root / new["mask_path"]) is not False
            new["label"] = "anomalous" if is_marked else ""
        out.append(new)
    said = _modalities_said(out, named)
    for what, owned in (("lesions", of_lesions), ("brain", of_brains)):
        if of[what]:
            said.append(
                f"{count(len(of[what]), 'file')} named like masks of {what}: given to {count(len(owned), 'image')}"
            )
    if lost:
        said.append(
            f"{count(len(lost), 'mask')} of which names do not tell the image, or what they mark, the first {lost[0]}; enter them as mask_path or "
            "roi_path. Images without a mask have an empty label: nothing reads the manifest before it says healthy or anomalous, or has no such column"
        )
    return out, said


def _with_modality(rows: Sequence[dict[str, str]]) -> tuple[list[dict[str, str]], list[str]]:
    """Rows of a folder whose own folders say the rest."""
    named = [{**row, "modality": contrast_in(words_of(row["path"]))} for row in rows]
    return named, _modalities_said(named, sum(bool(row["modality"]) for row in named))


def _modalities_said(rows: Sequence[dict[str, str]], guessed: int) -> list[str]:
    if not guessed:
        return []
    said = [f"modality guessed from the names of {guessed} of {count(len(rows), 'image')}"]
    nameless = [row["path"] for row in rows if not row.get("modality")]
    if nameless:
        said.append(
            f"{count(len(nameless), 'image')} without a known modality beside others, the first {nameless[0]}: a mask, perhaps"
        )
    return said


def _owners(images: Collection[_File], masks: Collection[_File]) -> dict[str, str]:
    """The mask of an image, by paths: the one whose name speaks of the same, in its folder or else in another."""
    by_folder: defaultdict[str, list[_File]] = defaultdict(list)
    by_whose: defaultdict[frozenset[str], list[_File]] = defaultdict(list)
    for mask in masks:
        by_folder[mask.folder].append(mask)
        by_whose[mask.whose].append(mask)
    found = {}
    elsewhere: defaultdict[str, list[_File]] = defaultdict(list)
    for image in images:
        near = by_folder[image.folder]
        alike = [mask for mask in near if mask.whose == image.whose]
        if not any(mask.fits(image) for mask in alike) and image.folder:
            # "seg" in the folder of a patient; at the top all patients lie together.
            alike = [mask for mask in near if not mask.whose]
        if own := _only(alike, image):
            found[image.path] = own.path
        elif image.whose and (far := _only(by_whose[image.whose], image)):
            elsewhere[far.path].append(image)
    near_by = set(found.values())
    for path, of in elsewhere.items():
        # Where patients have a folder each, the same names come in all of them.
        if path not in near_by and len({image.folder for image in of}) == 1:
            found.update({image.path: path for image in of})
    return found


def _only(masks: Sequence[_File], image: _File) -> _File | None:
    """The one mask that fits, or the one of the same contrast."""
    fitting = [mask for mask in masks if mask.fits(image)]
    chosen = [mask for mask in fitting if mask.contrast == image.contrast] or fitting
    return chosen[0] if len(chosen) == 1 else None
