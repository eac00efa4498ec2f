"""Words in the names of files, by which people tell contrasts and masks apart."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal

from unlesion.scans.formats import without_ending

# Words by which people name files of brain MRI after their contrast, in the order in which they decide: a T2-FLAIR is a FLAIR.
_CONTRASTS = {
    "FLAIR": ("FLAIR", "T2F"),
    "DWI": ("DWI",),
    "ADC": ("ADC",),
    "SWI": ("SWI",),
    "T1CE": ("T1C", "T1CE", "T1GD"),
    "T1": ("T1", "T1W", "T1N", "MPRAGE"),
    "T2": ("T2", "T2W"),
    "PD": ("PD", "PDW"),
}
_CONTRAST_WORDS = frozenset(word for words in _CONTRASTS.values() for word in words)
_BRAIN_WORDS = frozenset({"BRAIN", "BRAINMASK", "BET", "SKULLSTRIP", "SKULLSTRIPPED"})
_MASK_WORDS = frozenset(
    {"MASK", "MASKS", "SEG", "SEGMENTATION", "ROI", "LESION", "LESIONS", "BRAINMASK", "GT", "LABEL", "LABELS"}
    | {"ANNOTATION", "LESIONMASK", "LESIONMAP"}
)
# What is said of masks of lesions, besides.
_LESION_WORDS = frozenset(
    {"LESION", "LESIONS", "TUMOR", "TUMOUR", "GLIOMA", "STROKE", "INFARCT", "WMH", "PLAQUE", "PLAQUES"}
)
# Alone they name a file of what they say.
_FINDING_WORDS = frozenset({"WMH", "TUMOR", "TUMOUR", "INFARCT", "PLAQUE", "PLAQUES"})


def word_of(text: str, *, otherwise: str) -> str:
    """A text as part of a path; `otherwise` where nothing of it may stand there."""
    return re.sub(r"[^A-Za-z0-9.+]+", "-", text).strip("-.") or otherwise


def words_of(path: str) -> frozenset[str]:
    """The words in a file's name, in capitals: "a/p01_flair.nii.gz" has P01 and FLAIR."""
    name = without_ending(path.rpartition("/")[2])
    return frozenset(re.split(r"[^A-Z0-9]+", name.upper())) - {""}


def contrast_in(words: Collection[str]) -> str:
    """The contrast that the words of a name speak of; "" where of none."""
    return next((name for name, said in _CONTRASTS.items() if set(words) & set(said)), "")


def without_contrast(name: str) -> str:
    """A name less the words that speak of a contrast: "p01_flair" gives "p01"; as it is where nothing would be left."""
    parts = re.split(r"([^A-Za-z0-9]+)", name)
    kept = [
        (gap, part)
        for gap, part in zip(["", *parts[1::2]], parts[::2], strict=True)
        if part.upper() not in _CONTRAST_WORDS
    ]
    return "".join(gap + part for gap, part in kept).strip("_-. ") or name


def is_mask_word(word: str) -> bool:
    """Whether a word, in capitals, speaks of a mask: "MASK" does, and "MASK2"."""
    return word.rstrip("0123456789") in _MASK_WORDS


def is_named_like_mask(words: Collection[str]) -> bool:
    """Whether the words of a name speak of a mask, or of lesions alone: "p1_seg" and "wmh" do, "wmh_p1" may be an image."""
    return any(map(is_mask_word, words)) or (bool(words) and set(words) <= _FINDING_WORDS)


def mask_of(words: Collection[str]) -> Literal["lesions", "brain", "either"]:
    """What the words of a mask's name say that it is of; "either" of a "brain_seg" or a "roi", where nobody can know."""
    said = {word.rstrip("0123456789") if is_mask_word(word) else word for word in words}
    if said & _LESION_WORDS:
        return "lesions"
    if not said & _BRAIN_WORDS:
        return "either" if said & _MASK_WORDS == {"ROI"} else "lesions"
    return "brain" if said & {"MASK", "BRAINMASK", "ROI"} else "either"


def others_in(words: Collection[str]) -> frozenset[str]:
    """The words of a name that speak neither of a mask nor of a contrast: mostly, of whom it is."""
    bare = frozenset(word for word in words if not is_mask_word(word))
    return bare - _LESION_WORDS - _BRAIN_WORDS - _CONTRAST_WORDS
