"""The images and masks of a BIDS dataset, told by the entities in their names."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from unlesion.errors import BadInput
from unlesion.scans.checks import reason

DESCRIPTION = "dataset_description.json"

MODALITIES = {
    "T1w": "T1",
    "T2w": "T2",
    "FLAIR": "FLAIR",
    "PDw": "PD",
    "PDT2": "PDT2",
    "T2starw": "T2star",
    "UNIT1": "UNIT1",
    "inplaneT1": "T1",
    "inplaneT2": "T2",
    "swi": "SWI",
    "angio": "MRA",
}
"""Suffixes of images to look at, and what their modality is called in manifests."""

_LESION = re.compile(r"lesion|wmh|tumou?r", re.IGNORECASE)
_BRAIN = re.compile(r"brain(mask)?", re.IGNORECASE)
_SUBJECT = re.compile(r"sub-[^_/]+")


class Found(NamedTuple):
    """What a dataset holds, each sorted by path: images, masks of lesions, masks of brains."""

    images: list[BidsFile]
    lesions: list[BidsFile]
    brains: list[BidsFile]


@dataclass(frozen=True, kw_only=True)
class BidsFile:
    """A file with what its name says.

    Attributes:
        path: relative to the dataset.
        subject: "sub-01".
        entities: other entities by their short names ("ses", "run", "acq"), as text.
        suffix: the last word of the name, such as "T1w".
    """

    path: str
    subject: str
    entities: Mapping[str, str]
    suffix: str

    def get(self, entity: str) -> str:
        """The value of an entity, "" where the name has none."""
        return self.entities.get(entity, "")


def is_bids(folder: Path) -> bool:
    """Whether a folder is the root of a BIDS dataset: described, and with a folder of a subject."""
    try:
        return (folder / DESCRIPTION).is_file() and any(path.is_dir() for path in folder.glob("sub-*"))
    except OSError:
        return False


def lacks_description(folder: Path) -> bool:
    """Whether a folder is laid out as BIDS, with people or derivatives, but nothing describes it."""
    try:
        if (folder / DESCRIPTION).exists() or not any(folder.glob("sub-*/**/anat")):
            return False
        return (folder / "participants.tsv").is_file() or any(folder.glob("derivatives/**/sub-*"))
    except OSError:
        return False


def description_of(root: Path) -> Mapping[str, Any]:
    """What `dataset_description.json` says.

    Raises:
        BadInput: it is no JSON object.
    """
    path = root / DESCRIPTION
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: not readable as JSON ({reason(error)}); correct it") from error
    if not isinstance(content, dict):
        raise BadInput(f"{path}: not a JSON object; write at least Name and BIDSVersion")
    return content


def images_and_masks(root: Path) -> Found:
    """Images of known suffixes below `sub-*`, and masks of lesions and brains there and below `derivatives`.

    Files that `.bidsignore` names are left out.

    Raises:
        BadInput: the dataset cannot be read.
    """
    from ancpbids import DatasetOptions, load_dataset

    # A dataset may carry a pickle of itself; unpickling what somebody else wrote would run their code.
    options = DatasetOptions(ignore_pickle_file=True, ignore=True)
    try:
        found: list[Any] = load_dataset(str(root), options).query(extension=[".nii", ".nii.gz"])
    except Exception as error:  # odd names make the parser raise almost anything
        raise BadInput(f"{root}: not readable as a BIDS dataset ({reason(error)}); correct it") from error
    images, lesions, brains = [], [], []
    for item in found:
        path = Path(str(item.get_relative_path())).as_posix()
        subject = _SUBJECT.search(path)
        if subject is None or not path.startswith(("sub-", "derivatives/")):
            continue
        entities = {name: str(value) for name, value in dict(item.entities).items() if name != "sub"}
        file = BidsFile(path=path, subject=subject[0], entities=entities, suffix=str(item.suffix))
        of_what = f"{file.get('label')} {file.get('desc')}"
        if file.suffix in ("mask", "roi") and _LESION.search(of_what):
            lesions.append(file)
        elif file.suffix == "mask" and any(_BRAIN.fullmatch(file.get(name)) for name in ("label", "desc")):
            brains.append(file)
        elif file.suffix in MODALITIES and path.startswith("sub-"):
            images.append(file)
    return Found(*(sorted(files, key=lambda file: file.path) for files in (images, lesions, brains)))


def modality_of(file: BidsFile) -> str:
    """The modality as manifests call it: T1w is "T1", and with a contrast agent "T1CE"."""
    modality = MODALITIES[file.suffix]
    return "T1CE" if modality == "T1" and file.get("ce") else modality
