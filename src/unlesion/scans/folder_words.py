"""Words in the names of folders, by which people sort images: into parts, healthy and ill, images and masks."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from unlesion.scans.formats import without_ending
from unlesion.scans.manifest import Row, Table
from unlesion.scans.mask_labels import labelled_by_masks
from unlesion.scans.names import is_mask_word, without_contrast
from unlesion.scans.reading import has_marks
from unlesion.scans.splits import split_by_subject
from unlesion.wording import count

# Names of folders as public collections and people at their desks choose them, in capitals, without signs.
_SPLITS = {
    **dict.fromkeys(("TRAIN", "TRAINING"), "train"),
    **dict.fromkeys(("VAL", "VALID", "VALIDATION"), "val"),
    **dict.fromkeys(("TEST", "TESTING"), "test"),
}
_HEALTHY = frozenset({"GOOD", "NORMAL", "NORMALS", "HEALTHY", "CONTROL", "CONTROLS"})
_ILL = frozenset(
    {"UNGOOD", "ABNORMAL", "ABNORMALS", "ANOMALOUS", "ANOMALY", "ANOMALIES", "UNHEALTHY", "DISEASED", "SICK"}
)
_IMAGES = frozenset({"IMG", "IMGS", "IMAGE", "IMAGES", "SCAN", "SCANS"})
_MASKS = frozenset(
    {"MASK", "MASKS", "GROUNDTRUTH", "GT", "SEG", "SEGS", "SEGMENTATION", "SEGMENTATIONS", "LABEL", "LABELS"}
    | {"ANNOTATION", "ANNOTATIONS", "LESIONMASK", "LESIONMASKS"}
)
_REGIONS = frozenset({"BRAINMASK", "BRAINMASKS", "ROI", "ROIS"})


@dataclass(frozen=True, eq=False)
class _File:
    """An image or a mask, with what the folders above it say."""

    row: Row
    folders: tuple[str, ...]
    name: str

    @cached_property
    def said(self) -> tuple[str, ...]:
        """The folders' names in capitals, without signs."""
        return tuple(re.sub(r"[^A-Z0-9]+", "", folder.upper()) for folder in self.folders)

    def column(self) -> str:
        """The column that the file belongs into."""
        for word in self.said:
            if word in _MASKS:
                return "mask_path"
            if word in _REGIONS:
                return "roi_path"
        return "path"

    def split(self) -> str:
        return next((_SPLITS[word] for word in self.said if word in _SPLITS), "")

    def without(self, *words: frozenset[str]) -> tuple[str, ...]:
        """The folders less those that such words name."""
        left_out = frozenset[str]().union(*words)
        return tuple(
            folder for folder, word in zip(self.folders, self.said, strict=True) if word not in left_out
        )

    @cached_property
    def whose(self) -> str:
        """The name less what speaks of a mask: "000_mask" is of "000"."""
        parts = [part for part in re.split(r"[^A-Za-z0-9]+", self.name) if not is_mask_word(part.upper())]
        return "-".join(part.upper() for part in parts)

    @cached_property
    def person(self) -> str:
        """The same less what speaks of a contrast; "" of a name that speaks of nothing else."""
        name = without_contrast(self.whose)
        return "" if name == self.whose and without_contrast(f"x-{name}") == "x" else name


def sorted_by_folders(root: Path, columns: Sequence[str], rows: Sequence[Row]) -> Table:
    """Rows of a plain folder, with what the names of its folders say: split, label and pathology, masks and regions.

    `train/good/a.png`, `test/stroke/b.png` and `ground_truth/stroke/b_mask.png` are a healthy image to learn from and one with a
    stroke to test on, with its mask. A folder beside one of the healthy ("good", "normal", "healthy", "control") holds what is
    not. Splits count only where one of them is for training; where none calibrates, a fifth of the training part does. The subject is
    the first folder that says none of this, or the file. Where a mask of lesions fits no image, images without a mask that no
    folder calls healthy or ill get no split. Where no folder says anything, the rows stay as they are.

    Args:
        root: the folder.
        columns: of the rows.
        rows: with `path` and `subject`; those of DICOM series, which bring their subjects, too.

    Returns:
        The rows of the images, and in words what was read.
    """
    files = [_file(row) for row in rows]
    images = [file for file in files if file.row.files or file.column() == "path"]
    masks = [file for file in files if not file.row.files and file.column() != "path"]
    labels = _labels(images)
    subjects = _subjects(images, labels)
    splits = {file.row.get("path"): file.split() for file in images}
    if "train" not in splits.values():
        splits = {}
    elif "val" not in splits.values():
        splits = _with_val(splits, subjects)
    if not images or not (masks or any(labels.values()) or splits):
        return Table(columns=tuple(columns), rows=list(rows))
    owned = {column: _owned(images, masks, column) for column in ("mask_path", "roi_path")}
    given = {path for own in owned.values() for path in own.values()}
    lost = [mask.row.get("path") for mask in masks if mask.row.get("path") not in given]
    if any(mask.column() == "mask_path" and mask.row.get("path") in lost for mask in masks):
        # An image of theirs passes for healthy.
        doubted = [path for path in subjects if not labels[path] and path not in owned["mask_path"]]
        splits = _less(splits, doubted, subjects)
    there = [column for column in owned if any(file.column() == column for file in masks)]
    there += ["label", "pathology"] if any(labels.values()) else []
    there += ["split"] if splits else []
    out = []
    for file in images:
        path = file.row.get("path")
        new = {column: owned[column].get(path, "") for column in owned if column in there}
        if "label" in there:
            new["label"], new["pathology"] = labels[path] or (_label_by(root, new.get("mask_path", "")), "")
        if splits:
            new["split"] = splits[path]
        if not file.row.files:
            new["subject"] = subjects[path]
        out.append(Row(file.row.number, {**file.row.values, **new}, file.row.files))
    table = Table(columns=(*columns, *there), rows=out, warnings=tuple(_told(root, out, there, lost)))
    marked = labelled_by_masks(root, table.columns, table.rows, root=root)
    return Table(columns=marked.columns, rows=marked.rows, warnings=table.warnings + marked.warnings)


def _file(row: Row) -> _File:
    *folders, name = row.get("path").split("/")
    return _File(row, tuple(folders), without_ending(name))


def _with_val(splits: Mapping[str, str], subjects: Mapping[str, str]) -> dict[str, str]:
    """A fifth of the people of the training part calibrates where no folder is for that: without it there is no threshold."""
    new = split_by_subject([subjects[path] for path, split in splits.items() if split == "train"])
    return {path: new[subjects[path]] if split == "train" else split for path, split in splits.items()}


def _less(splits: Mapping[str, str], doubted: Sequence[str], subjects: Mapping[str, str]) -> dict[str, str]:
    """Splits in which nothing learns from, calibrates on or tests what is in doubt."""
    left = {path: subject for path, subject in subjects.items() if path not in set(doubted)}
    own = split_by_subject(list(left.values()))
    return {path: (splits.get(path) or own[left[path]]) if path in left else "" for path in subjects}


def _labels(images: Sequence[_File]) -> dict[str, tuple[str, str] | None]:
    """Label and pathology of each image, by its path; None where no folder says it."""
    # Where folders of the healthy lie: what leads to them, parts and images being all the same.
    beside = {
        _way(file, depth) for file in images for depth, word in enumerate(file.said) if word in _HEALTHY
    }
    found: dict[str, tuple[str, str] | None] = {}
    for file in images:
        found[file.row.get("path")] = None
        for depth, word in enumerate(file.said):
            if word in _HEALTHY:
                found[file.row.get("path")] = ("healthy", "none")
            elif word in _ILL:
                found[file.row.get("path")] = ("anomalous", "")
            elif _way(file, depth) in beside and word not in _SPLITS and word not in _IMAGES:
                found[file.row.get("path")] = ("anomalous", file.folders[depth])
            else:
                continue
            break
    return found


def _way(file: _File, depth: int) -> tuple[str, ...]:
    return tuple(word for word in file.said[:depth] if word not in _SPLITS and word not in _IMAGES)


def _label_by(root: Path, mask: str) -> str:
    # A mask that cannot be read may mark anything.
    return "anomalous" if mask and has_marks(root / mask) is not False else "healthy"


def _owned(images: Sequence[_File], masks: Sequence[_File], column: str) -> dict[str, str]:
    """The mask of an image, by paths: that of the same name in the likest place; none where two would fit."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    todo = [mask for mask in masks if mask.column() == column]
    for key in _LIKENESS:
        alike: defaultdict[Hashable, list[_File]] = defaultdict(list)
        for image in images:
            alike[key(image)].append(image)
        for mask in todo:
            own = alike.get(key(mask), [])
            # Several contrasts of one person may share a mask, images of several folders not.
            if len({image.folders for image in own}) == 1:
                for image in own:
                    found[image.row.get("path")].append(mask.row.get("path"))
        todo = [mask for mask in todo if key(mask) not in alike]
    return {path: own[0] for path, own in found.items() if len(own) == 1}


_SAID_OF_MASKS = (_MASKS, _REGIONS, _IMAGES)
# From the strictest to the loosest: what an image and its mask have in common.
_LIKENESS: tuple[Callable[[_File], Hashable], ...] = (
    lambda file: (file.without(*_SAID_OF_MASKS), file.whose),
    lambda file: (file.without(*_SAID_OF_MASKS, frozenset(_SPLITS)), file.whose),
    lambda file: (file.without(*_SAID_OF_MASKS, frozenset(_SPLITS), _HEALTHY, _ILL), file.whose),
    lambda file: (file.without(*_SAID_OF_MASKS, frozenset(_SPLITS), _HEALTHY, _ILL), file.person),
    lambda file: file.whose,
)


def _subjects(images: Sequence[_File], labels: Mapping[str, tuple[str, str] | None]) -> dict[str, str]:
    """Whom each image is of, by its path."""
    words = (frozenset(_SPLITS), _HEALTHY, _ILL, _IMAGES)
    left = {}
    for file in images:
        path = file.row.get("path")
        said = labels[path]
        left[path] = tuple(folder for folder in file.without(*words) if said is None or folder != said[1])
    firsts = {folders[:1] for folders in left.values()}
    if len(firsts) == 1 and () not in firsts:
        # One folder around everything is nobody's.
        left = {path: folders[1:] for path, folders in left.items()}
    names = Counter(file.name for file in images)
    found = {}
    for file in images:
        path = file.row.get("path")
        if left[path]:
            found[path] = left[path][0]
        else:
            # Where images are numbered in every folder anew, the same number is not the same person.
            found[path] = file.name if names[file.name] == 1 else without_ending(path)
    return found


def _told(root: Path, rows: Sequence[Row], columns: Sequence[str], lost: Sequence[str]) -> list[str]:
    """What was read, in words."""
    parts = [_counted(rows, column) for column in ("split", "label") if column in columns]
    for column, what in (("mask_path", "a mask of lesions"), ("roi_path", "a region")):
        if column in columns:
            parts.append(f"{sum(bool(row.get(column)) for row in rows)} with {what}")
    said = [
        f"{root}: read from the names of its folders, of {count(len(rows), 'image')}: {'; '.join(parts)}; a manifest can say "
        "otherwise (`unlesion manifest` writes one)"
    ]
    if lost:
        said.append(
            f"{root}: {count(len(lost), 'mask')} of which names do not tell the image, the first {lost[0]}; images without a mask "
            "that no folder calls healthy or ill are in no split, and nothing reads them before a manifest says what they are"
        )
    return said


def _counted(rows: Sequence[Row], column: str) -> str:
    numbers: Mapping[str, int] = Counter(row.get(column) or "(none)" for row in rows)
    return ", ".join(f"{number} {value}" for value, number in sorted(numbers.items()))
