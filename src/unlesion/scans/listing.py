"""A cohort as a manifest that one can correct: what was understood of a folder, written down."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from unlesion.files import whole_file
from unlesion.scans.cohort import Cohort
from unlesion.scans.entry import Entry
from unlesion.scans.names import MASK_WORDS, contrast_in, words_of
from unlesion.scans.reading import has_marks
from unlesion.wording import count

# Always there, to be filled in, in this order; then what the cohort has besides.
COLUMNS = ("path", "mask_path", "subject", "scan", "modality", "label", "pathology", "split")


def write_manifest(cohort: Cohort, path: Path) -> list[str]:
    """Write the rows of a cohort as a manifest whose paths are relative to the cohort's folder.

    Of a plain folder, which knows nothing but names, the modality is guessed from these, and a file named like a mask
    becomes the mask of the image with the same name, or of all images of its folder if it is the only one in it; images with a
    mask that marks anything are anomalous.

    Args:
        cohort: what to write; not with joined channels.
        path: the file.

    Returns:
        What was guessed, a line each.

    Raises:
        BadInput: it cannot be written.
    """
    rows = [_row(entry) for entry in cohort]
    said: list[str] = []
    if all(set(entry.columns) <= {"path", "subject", "format"} for entry in cohort):
        rows, said = _guessed(cohort, rows)
    columns = [*COLUMNS, *dict.fromkeys(name for row in rows for name in row if name and name not in COLUMNS)]
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return said


def _row(entry: Entry) -> dict[str, str]:
    # A subject of two sources has the source before its name; in a manifest the column says it.
    return {**entry.columns, "label": entry.label, "split": entry.split or ""}


def _guessed(cohort: Cohort, rows: Sequence[dict[str, str]]) -> tuple[list[dict[str, str]], list[str]]:
    names = {row["path"]: words_of(row["path"]) for row in rows}
    masks = {path for path, words in names.items() if words & MASK_WORDS}
    images = [row for row in rows if row["path"] not in masks]
    if not images:
        return list(rows), []
    owners = _owners((row["path"] for row in images), masks)
    kept, marked, named = [], 0, 0
    for row in images:
        path = row["path"]
        mask, modality = owners.get(path, ""), contrast_in(names[path])
        # A mask that cannot be read may mark anything.
        is_marked = bool(mask) and has_marks(cohort.root / mask) is not False
        marked += is_marked
        named += bool(modality)
        label = "anomalous" if is_marked else row["label"]
        kept.append({**row, "mask_path": mask, "modality": modality, "label": label})
    said = []
    if named:
        said.append(f"modality guessed from the names of {named} of {count(len(kept), 'image')}")
    if masks:
        left = len(masks - set(owners.values()))
        said.append(
            f"{count(len(masks), 'file')} named like masks: given to {count(len(owners), 'image')}, of which {marked} are anomalous"
            + (f"; of no image, left out: {left}" if left else "")
        )
    return kept, said


def _owners(images: Iterable[str], masks: Iterable[str]) -> dict[str, str]:
    """The mask of an image: of the same name but for the word "mask", or else the only one in its folder."""
    in_folder: defaultdict[str, list[str]] = defaultdict(list)
    for mask in sorted(masks):
        in_folder[_folder(mask)].append(mask)
    found = {}
    for image in images:
        there = in_folder[_folder(image)]
        alike = [mask for mask in there if words_of(mask) - MASK_WORDS == words_of(image)]
        # At the top of a cohort all people lie in one folder.
        own = alike if alike or not _folder(image) else there
        if len(own) == 1:
            found[image] = own[0]
    return found


def _folder(path: str) -> str:
    return path.rpartition("/")[0]
