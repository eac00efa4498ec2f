"""A folder that people have sorted: its images with their masks, labels, splits and subjects."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from pathlib import Path

from unlesion.scans.folder_words import File, labels_of, subjects_of
from unlesion.scans.manifest import Row, Table
from unlesion.scans.names import contrast_in, is_mask_word, without_contrast
from unlesion.scans.reading import has_marks
from unlesion.scans.splits import split_by_subject
from unlesion.wording import count

# Words of names beside those of masks that only say what kind of file it is.
_KINDS = frozenset({"IMG", "IMAGE", "VOLUME", "VOL", "SCAN", "LABEL", "LABELS", "GT", "ANNOTATION", "MASKS"})


def sorted_by_folders(
    root: Path, columns: Sequence[str], rows: Sequence[Row], *, others: Sequence[str] = ()
) -> Table:
    """Rows of a plain folder, with what the names of its folders say: split, label and pathology, masks and regions.

    `train/good/a.png`, `test/stroke/b.png` and `ground_truth/stroke/b_mask.png` are a healthy image to learn from and one with a
    stroke to test on, with its mask. Splits count only where one of them is for training; where none calibrates, a fifth of the
    healthy people of the training part does.

    Nothing that may be ill passes for healthy. Where folders tell healthy from ill, or masks mark lesions, an image of which
    neither says anything has an empty label, and is neither learnt from nor measured, but for a training part in which no image has
    a label or mask at all. Where no folder says anything, the rows stay as they are.

    Args:
        root: the folder.
        columns: of the rows.
        rows: with `path` and `subject`; those of DICOM series, which bring their subjects, too.
        others: paths of files that are no images: in a folder of masks, annotations that cannot be read.

    Returns:
        The rows of the images, and in words what was read.
    """
    files = [File(row) for row in rows]
    if not any(said for file in files for said in file.said):
        return Table(columns=tuple(columns), rows=list(rows))
    images = [file for file in files if file.column == "path"]
    masks = [file for file in files if file.column != "path"]
    unread = [file for file in (File(Row(0, {"path": path})) for path in others) if file.column != "path"]
    labels = labels_of(images)
    splits = {file.path: file.split for file in images}
    splits = splits if "train" in splits.values() else {}
    if not images or not (masks or unread or labels or splits):
        return Table(columns=tuple(columns), rows=list(rows))
    stems = {_whose(mask) for mask in masks}
    names = {file.path: _name(file, stems) for file in images}
    subjects, twice = subjects_of(images, labels, names)
    # Beside masks of lesions a region of interest is that of the brain.
    has_lesions = any(mask.column == "mask_path" for mask in masks)
    of_what = {
        m: "roi_path" if has_lesions and m.column == "either" and m.is_called_roi else m.column for m in masks
    }
    # A series is no mask that could be read.
    plain = [mask for mask in masks if not mask.row.files]
    of_lesions, of_brains = (
        _owned(images, [mask for mask in plain if of_what[mask] == column], stems)
        for column in ("mask_path", "roi_path")
    )
    given = {*of_lesions.values(), *of_brains.values()}
    lost = [mask for mask in masks if mask.path not in given and of_what[mask] != "roi_path"] + unread
    told = {path: label for path, (label, _) in labels.items()}
    if labels or lost or of_lesions:
        told = _by_masks(root, images, told, of_lesions, subjects, lost)
    if "train" in splits.values() and "val" not in splits.values():
        splits = _with_val(splits, subjects, told)
    there = ["mask_path"] * bool(of_lesions) + ["roi_path"] * bool(of_brains)
    there += ["label"] * bool(told) + ["pathology"] * bool(labels) + ["split"] * bool(splits)
    out = []
    for file in images:
        path = file.path
        new = {
            "mask_path": of_lesions.get(path, ""),
            "roi_path": of_brains.get(path, ""),
            "label": told.get(path, ""),
            "pathology": labels.get(path, ("", ""))[1],
            "split": splits.get(path, ""),
        }
        new = {name: value for name, value in new.items() if name in there}
        out.append(
            Row(file.row.number, {**file.row.values, **new, "subject": subjects[path]}, file.row.files)
        )
    said = _told(root, out, there, [mask.path for mask in lost], twice if splits else [])
    return Table(columns=(*columns, *there), rows=out, warnings=tuple(said))


def _by_masks(
    root: Path,
    images: Sequence[File],
    told: Mapping[str, str],
    of_lesions: Mapping[str, str],
    subjects: Mapping[str, str],
    lost: Sequence[File],
) -> dict[str, str]:
    """The labels of images: what folders say, else what masks say, or "" where these do not either."""
    # A mask that cannot be read may mark anything.
    marks = {mask: has_marks(root / mask) is not False for mask in set(of_lesions.values())}
    ill = {subjects[path] for path, mask in of_lesions.items() if marks[mask]}
    near_lost = {mask.folders_but("column") for mask in lost}
    with_masks = {_shelf(file) for file in images if file.path in of_lesions}
    sorted_parts = {file.split for file in images if file.path in told or file.path in of_lesions}
    found = {}
    for file in images:
        path = file.path
        is_doubtful = subjects[path] in ill or file.folders_but("column") in near_lost
        if path in told:
            # A folder of the healthy does not overrule a mask of the same person.
            found[path] = (
                "" if told[path] == "healthy" and is_doubtful and path not in of_lesions else told[path]
            )
        elif path in of_lesions:
            found[path] = "anomalous" if marks[of_lesions[path]] else "healthy"
        elif subjects[path] in ill:
            found[path] = "anomalous"
        elif lost:
            found[path] = ""
        elif file.split == "train" and "train" not in sorted_parts:
            # Sorted is what is tested on; what is learnt from is healthy, as everywhere.
            found[path] = "healthy"
        else:
            # On one shelf with images that have masks, one without is healthy; elsewhere, who knows.
            found[path] = "healthy" if not told and _shelf(file) in with_masks else ""
    return found


def _shelf(file: File) -> tuple[str, ...]:
    """Where an image lies, people's folders being all the same."""
    last = max((depth for depth, said in enumerate(file.said) if said), default=-1)
    return (*file.folders[: last + 1], *("*" for _ in file.folders[last + 1 :]))


def _with_val(
    splits: Mapping[str, str], subjects: Mapping[str, str], labels: Mapping[str, str]
) -> dict[str, str]:
    """A fifth of the healthy people of the training part calibrates where no folder is for that: without it there is no threshold."""
    mine = [path for path, split in splits.items() if split == "train"]
    new = split_by_subject([subjects[path] for path in mine if labels.get(path, "healthy") == "healthy"])
    return {
        path: new.get(subjects[path], split) if split == "train" else split for path, split in splits.items()
    }


def _owned(images: Sequence[File], masks: Sequence[File], stems: Collection[str]) -> dict[str, str]:
    """The mask of an image, by paths: that of the same name in the likest place; none where two would fit."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    todo = list(masks)
    for key in _LIKENESS:
        alike: defaultdict[Hashable, list[File]] = defaultdict(list)
        for image in images:
            alike[key(image, stems)].append(image)
        left = []
        for mask in todo:
            contrast = contrast_in(_words(mask.name))
            own = [
                image
                for image in alike.get(key(mask, ()), [])
                if contrast in ("", contrast_in(_words(image.name)))
            ]
            # Several contrasts of one person may share a mask, images of several folders not.
            if len({image.folders for image in own}) == 1:
                for image in own:
                    found[image.path].append(mask.path)
            elif not own:
                left.append(mask)
        todo = left
    return {path: own[0] for path, own in found.items() if len(own) == 1}


def _words(name: str) -> list[str]:
    return [part for part in re.split(r"[^A-Z0-9]+", name.upper()) if part]


def _whose(file: File) -> str:
    """The name less what says that it is an image or a mask: "000_mask", "000_mask_1" and "img_000" are of "000"."""
    kept: list[str] = []
    after_mask = False
    for part in _words(file.name):
        if not (is_mask_word(part) or part in _KINDS or (after_mask and kept and part.isdigit())):
            kept.append(part)
        after_mask = is_mask_word(part)
    return "-".join(kept)


def _person(file: File, stems: Collection[str]) -> str:
    """The same less contrast and channel; "" of a name that is a contrast alone.

    "p1_flair" is of "p1"; and so is "p1_0001", if a mask is called "p1".
    """
    whose = _whose(file)
    stem, _, channel = whose.rpartition("-")
    name = stem if re.fullmatch(r"0\d{3}", channel) and stem in stems else whose
    return without_contrast(f"x-{name}").removeprefix("x").removeprefix("-") if name else ""


def _name(file: File, stems: Collection[str]) -> str:
    """Of whom an image is by its name, written as there; "" of a name that is a contrast alone."""
    stem = re.sub(r"[^A-Za-z0-9]+0\d{3}$", "", file.name)
    has_channel = stem != file.name and "-".join(_words(stem)) in stems
    name = stem if has_channel else file.name
    return without_contrast(name) if _person(file, stems) else ""


def _place(file: File) -> tuple[str, ...]:
    return file.folders_but("split", "label", "column")


# From the strictest to the loosest: what an image and its mask have in common.
_LIKENESS: tuple[Callable[[File, Collection[str]], Hashable], ...] = (
    lambda file, _: (file.folders_but("column"), _whose(file)),
    lambda file, stems: (file.folders_but("column"), _person(file, stems)),
    lambda file, _: (file.folders_but("split", "column"), _whose(file)),
    lambda file, _: (_place(file), _whose(file)),
    lambda file, stems: (_place(file), _person(file, stems)),
    lambda file, stems: (_place(file)[:1], _person(file, stems)),
    lambda file, _: _whose(file),
)


def _told(
    root: Path, rows: Sequence[Row], columns: Collection[str], lost: Sequence[str], twice: Sequence[str]
) -> list[str]:
    """What was read, in words."""
    parts = [_counted(rows, column) for column in ("split", "label") if column in columns]
    for column, what in (("mask_path", "a mask of lesions"), ("roi_path", "a region")):
        if column in columns:
            parts.append(f"{sum(bool(row.get(column)) for row in rows)} with {what}")
    said = [
        f"{root}: read from the names of folders, of {count(len(rows), 'image')}: {'; '.join(parts)}; `unlesion manifest` writes it "
        "down, to be corrected"
    ]
    if lost:
        said.append(
            f"{root}: {count(len(lost), 'mask')} of which names do not tell the image, the first {lost[0]}"
        )
    if twice:
        said.append(
            f"{root}: {count(len(twice), 'name')} of people in several parts, the first {twice[0]}, counted as different people; if they are "
            "the same, results flatter: give a manifest with a column subject"
        )
    unknown = [row.get("path") for row in rows if "label" in columns and not row.get("label")]
    if unknown:
        said.append(
            f"{root}: neither folders nor masks say whether {count(len(unknown), 'image')} show lesions, the first {unknown[0]}: "
            "nothing learns from, calibrates on or measures them before a manifest says so"
        )
    return said


def _counted(rows: Sequence[Row], column: str) -> str:
    none = "of unknown label" if column == "label" else "in none"
    numbers: Mapping[str, int] = Counter(row.get(column) or none for row in rows)
    return ", ".join(f"{number} {value}" for value, number in sorted(numbers.items()))
