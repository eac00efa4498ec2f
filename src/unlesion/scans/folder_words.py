"""Words in the names of folders, by which people sort images: into parts, healthy and ill, images and masks."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from unlesion.scans.formats import without_ending
from unlesion.scans.manifest import Row
from unlesion.scans.names import is_named_like_mask, mask_of, words_of

# "either": a mask of which nobody can know whether it is of lesions or of the brain.
Column = Literal["path", "mask_path", "roi_path", "either"]

# Names of folders as public collections and people at their desks choose them, in capitals.
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
    {"MASK", "MASKS", "GT", "SEG", "SEGS", "SEGMENTATION", "SEGMENTATIONS", "LABEL", "LABELS"}
    | {"ANNOTATION", "ANNOTATIONS", "GROUNDTRUTH"}
)
_REGIONS = frozenset({"BRAINMASK", "BRAINMASKS"})
_ROIS = frozenset({"ROI", "ROIS"})
# Words that say something only beside others: "tumor_masks" are masks, "tumor" may be anything.
_BESIDE = frozenset({"LESION", "LESIONS", "TUMOR", "TUMORS", "TUMOUR", "TUMOURS", "GROUND", "TRUTH", "SET"})
# "no_tumor" is a healthy one, "no_contrast" is not.
_NOT = _BESIDE | _ILL | {"FINDING", "FINDINGS", "DISEASE", "STROKE"}
# Written without a sign between the words.
_JOINED = {
    "IMAGESTR": ("IMAGES", "TRAIN"),
    "LABELSTR": ("LABELS", "TRAIN"),
    "IMAGESTS": ("IMAGES", "TEST"),
    "LABELSTS": ("LABELS", "TEST"),
    "NOTUMOR": ("HEALTHY",),
    "LESIONMASK": ("MASK",),
    "LESIONMASKS": ("MASKS",),
}


@dataclass(frozen=True)
class Said:
    """What the name of a folder says; "" where it says nothing of a kind."""

    split: str = ""
    label: str = ""
    column: Column | Literal[""] = ""

    def __bool__(self) -> bool:
        return bool(self.split or self.label or self.column)


def said_by(folder: str) -> Said:
    """What a folder's name says, if every word of it speaks: "train_images" does, "train_anna" does not."""
    words = tuple(part for part in re.split(r"[^A-Z0-9]+", folder.upper()) if part)
    joined = "".join(words)
    words = _JOINED.get(joined, (joined,) if joined in _REGIONS | _MASKS else words)
    if words[:1] == ("NO",) and words[1:] and set(words[1:]) <= _NOT:
        return Said(label="healthy")
    said = set(words)
    known = {*_SPLITS, *_HEALTHY, *_ILL, *_IMAGES, *_MASKS, *_REGIONS, *_ROIS}
    if not said & known or not said <= known | _BESIDE:
        # "binary_masks", "masks2": masks, but nobody can be sure of what.
        is_mask = bool({word.rstrip("0123456789") for word in words} & _MASKS)
        return Said(column="either") if is_mask else Said()
    kinds: tuple[tuple[frozenset[str], Column], ...] = (
        (_REGIONS, "roi_path"),
        (_MASKS, "mask_path"),
        (_ROIS, "either"),
        (_IMAGES, "path"),
    )
    return Said(
        split=next((_SPLITS[word] for word in words if word in _SPLITS), ""),
        label="healthy" if said & _HEALTHY else "anomalous" if said & _ILL else "",
        column=next((column for own, column in kinds if said & own), ""),
    )


@dataclass(frozen=True, eq=False)
class File:
    """An image or a mask in a folder, with what the folders above it and its name say."""

    row: Row

    @property
    def path(self) -> str:
        """Relative to the cohort's folder."""
        return self.row.get("path")

    @cached_property
    def folders(self) -> tuple[str, ...]:
        """Those above it; of a DICOM series, which may be called after its folder, those above its files."""
        return tuple((self.row.files[0] if self.row.files else self.path).split("/")[:-1])

    @cached_property
    def name(self) -> str:
        """Without its ending."""
        return without_ending(self.path.rpartition("/")[2])

    @cached_property
    def said(self) -> tuple[Said, ...]:
        """By each of the folders."""
        return tuple(said_by(folder) for folder in self.folders)

    @cached_property
    def column(self) -> Column:
        """What the file is: the innermost folder that says so decides, else its name."""
        inner: Column = next((said.column for said in reversed(self.said) if said.column), "path")
        words = words_of(self.path)
        if self.row.files or not is_named_like_mask(words) or inner != "path":
            return inner
        # "images/x_mask.png": somebody put the mask beside its image.
        what = mask_of(words)
        return "mask_path" if what == "lesions" else "roi_path" if what == "brain" else "either"

    @cached_property
    def is_called_roi(self) -> bool:
        """Whether its name or a folder speaks of a region of interest."""
        words = {
            part for text in (*self.folders, self.name) for part in re.split(r"[^A-Z0-9]+", text.upper())
        }
        return bool(words & _ROIS)

    @cached_property
    def split(self) -> str:
        """That of the innermost folder that says one."""
        return next((said.split for said in reversed(self.said) if said.split), "")

    def folders_but(self, *kinds: Literal["split", "label", "column"]) -> tuple[str, ...]:
        """The folders that say nothing of these kinds."""
        return tuple(
            folder
            for folder, said in zip(self.folders, self.said, strict=True)
            if not any(getattr(said, kind) for kind in kinds)
        )


def labels_of(images: Sequence[File]) -> dict[str, tuple[str, str]]:
    """Label and pathology of those images of which a folder says it, by their paths.

    The innermost folder that calls them healthy or ill decides. Where none does, a folder beside one of the healthy, in the same
    part, holds what is not, and so does one of the same name elsewhere.
    """
    above = {
        (file.split, file.folders[:depth])
        for file in images
        for depth, said in enumerate(file.said)
        if said.label == "healthy"
    }
    # Parts and images say nothing about what lies beside what.
    beside = {(split, _way(folders)) for split, folders in above}
    leading = {folder for _, folders in above for folder in folders}
    ill = {
        folder
        for file in images
        for depth, (folder, said) in enumerate(zip(file.folders, file.said, strict=True))
        if not (said or folder in leading or any(outer.label for outer in file.said[:depth]))
        and (file.split, _way(file.folders[:depth])) in beside
    }
    found = {}
    for file in images:
        told = next((said.label for said in reversed(file.said) if said.label), "")
        name = next((folder for folder in file.folders if folder in ill), "")
        if told:
            found[file.path] = (told, "none" if told == "healthy" else "")
        elif name:
            found[file.path] = ("anomalous", name)
    return found


def _way(folders: Iterable[str]) -> tuple[str, ...]:
    return tuple(folder for folder in folders if not said_by(folder))


def subjects_of(
    images: Sequence[File], labels: Mapping[str, tuple[str, str]], names: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """Whom each image is of, by its path.

    A DICOM series says so itself. Else it is the first folder below the last that says what lies in it; or the first above, unless
    parts lie below that; or the file. A folder around everything is a collection and nobody's. The same name of the healthy and of
    the ill, or in two parts, and numbers that come in several folders, are several people.

    Args:
        images: of the cohort.
        labels: what `labels_of` says of them.
        names: of whom an image is by the name of its file, by its path; "" where that names nobody.

    Returns:
        The subjects, and the names that come in several parts.
    """
    ill = {pathology for _, pathology in labels.values()} - {"", "none"}
    around = 0
    while len({file.folders[: around + 1] for file in images}) == 1 and len(images[0].folders) > around:
        around += 1
    found: dict[str, str] = {}
    named: list[tuple[File, str, tuple[str, ...]]] = []
    for file in images:
        own = file.row.get("subject")
        # Where headers name nobody, a series goes by its first folder.
        if file.row.files and own != next(iter(file.folders), ""):
            found[file.path] = own
            continue
        speaks = [bool(said) or folder in ill for folder, said in zip(file.folders, file.said, strict=True)]
        last = max((depth for depth, one in enumerate(speaks) if one), default=-1)
        # Above parts lie collections and sites, not people.
        parts = max((depth for depth, said in enumerate(file.said) if said.split), default=-1)
        people = [*range(last + 1, len(speaks)), *range(parts + 1, max(last, 0))]
        depth = next((place for place in people if place >= around and not speaks[place]), None)
        if depth is None and not names[file.path]:
            # "T1.png" names nobody: then the folder around does.
            depth = next((place for place in reversed(people) if not speaks[place]), None)
        name = (names[file.path] or file.name) if depth is None else file.folders[depth]
        named.append((file, name, file.folders if depth is None else file.folders[:depth]))
    places: defaultdict[str, set[tuple[str, ...]]] = defaultdict(set)
    kinds: defaultdict[str, set[str]] = defaultdict(set)
    parts_of: defaultdict[str, set[str]] = defaultdict(set)
    for file, name, above in named:
        places[name].add(above)
        kinds[name].add(labels.get(file.path, ("", ""))[0])
        if name in file.folders:
            parts_of[name].add(file.split)
    for file, name, above in named:
        # A file's name is no person's; a folder's is, unless it is a mere number.
        is_several = (
            name.isdigit() or name not in file.folders or len(kinds[name]) > 1 or len(parts_of[name]) > 1
        )
        found[file.path] = "/".join((*above, name)) if is_several and len(places[name]) > 1 else name
    return found, sorted(name for name, parts in parts_of.items() if len(parts) > 1 and not name.isdigit())
