"""Words in the names of folders, by which people sort images: into parts, healthy and ill, images and masks."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from unlesion.scans.formats import without_ending
from unlesion.scans.manifest import Row
from unlesion.scans.names import is_named_like_mask, mask_of, words_of

Column = Literal["path", "mask_path", "roi_path"]

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
_REGIONS = frozenset({"BRAINMASK", "BRAINMASKS", "ROI", "ROIS"})
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
    known = {*_SPLITS, *_HEALTHY, *_ILL, *_IMAGES, *_MASKS, *_REGIONS}
    if not set(words) & known or not set(words) <= known | _BESIDE:
        return Said()
    return Said(
        split=next((_SPLITS[word] for word in words if word in _SPLITS), ""),
        label="healthy" if set(words) & _HEALTHY else "anomalous" if set(words) & _ILL else "",
        column="roi_path"
        if set(words) & _REGIONS
        else "mask_path"
        if set(words) & _MASKS
        else "path"
        if set(words) & _IMAGES
        else "",
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
    def column(self) -> Column | Literal["either"]:
        """What the file is: the innermost folder that says so decides, else its name; "either" where nobody can know."""
        inner: Column = next((said.column for said in reversed(self.said) if said.column), "path")
        words = words_of(self.path)
        if self.row.files or not is_named_like_mask(words) or inner != "path":
            return inner
        # "images/x_mask.png": somebody put the mask beside its image.
        what = mask_of(words)
        return "mask_path" if what == "lesions" else "roi_path" if what == "brain" else "either"

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

    The innermost folder that calls them healthy or ill decides. Where none does, a folder beside one of the healthy holds what is
    not, and so does one of the same name elsewhere.
    """
    above = {
        file.folders[:depth]
        for file in images
        for depth, said in enumerate(file.said)
        if said.label == "healthy"
    }
    # Parts and images say nothing about what lies beside what.
    beside = {_way(folders) for folders in above}
    leading = {folder for folders in above for folder in folders}
    ill = {
        folder
        for file in images
        for depth, (folder, said) in enumerate(zip(file.folders, file.said, strict=True))
        if not (said or folder in leading or any(outer.label for outer in file.said[:depth]))
        and _way(file.folders[:depth]) in beside
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


def subjects_of(images: Sequence[File], labels: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """Whom each image is of, by its path.

    A DICOM series says so itself. Else it is the first folder below the last that says what lies in it; or the first above, unless
    parts lie below that or it holds everything; or the file. Mere numbers that come in several folders are several people, and so
    are the same names of the healthy and the ill in folders of their own.

    Args:
        images: of the cohort.
        labels: what `labels_of` says of them.
    """
    ill = {pathology for _, pathology in labels.values()} - {"", "none"}
    found: dict[str, str] = {}
    named: list[tuple[File, str, tuple[str, ...]]] = []
    for file in images:
        if file.row.files:
            found[file.path] = file.row.get("subject")
            continue
        speaks = [bool(said) or folder in ill for folder, said in zip(file.folders, file.said, strict=True)]
        last = max((depth for depth, one in enumerate(speaks) if one), default=-1)
        # Above parts lie collections and sites, not people.
        parts = max((depth for depth, said in enumerate(file.said) if said.split), default=-1)
        people = [*range(last + 1, len(speaks)), *range(parts + 1, max(last, 0))]
        depth = next((place for place in people if not speaks[place]), None)
        name = file.name if depth is None else file.folders[depth]
        named.append((file, name, file.folders[: len(file.folders) if depth is None else depth]))
    if labels and len({name for _, name, _ in named}) == 1:
        # A folder around the healthy and the ill is a collection.
        named = [(file, file.name, file.folders) for file, _, _ in named]
    places = Counter(name for name, _ in {(name, above) for _, name, above in named})
    kinds: defaultdict[str, set[str]] = defaultdict(set)
    for file, name, _ in named:
        kinds[name].add(labels.get(file.path, ("", ""))[0])
    for file, name, above in named:
        # A file's name is no person's; a folder's is, unless it is a mere number.
        is_several = name.isdigit() or name == file.name or len(kinds[name]) > 1
        found[file.path] = "/".join((*above, name)) if is_several and places[name] > 1 else name
    return found
