"""What kind of image a series is, guessed from its header."""

from __future__ import annotations

import re

from unlesion.scans.formats.dicom.header import Header

PROJECTIONS = frozenset({"CR", "DX", "RG", "MG", "IO", "PX"})
"""Modalities whose images are pictures of their own, never slices of a volume."""

_CHEST = re.compile(r"chest|thora|lung", re.IGNORECASE)

# Words that people write into descriptions of MR series, in the order in which they decide. A plain "t2"
# comes after what T2-weighted names are part of.
_WORDS = (
    ("FLAIR", r"flair|dark.?fluid|tirm"),
    ("ADC", r"\badc\b|apparent"),
    ("DWI", r"dwi|diff(usion)?\b|ep2d_diff|dti|trace"),
    ("SWI", r"\bswi|swan|susc"),
    ("MRA", r"\btof\b|angio|\bmra\b|inhance"),
    ("BOLD", r"bold|fmri|rest(ing)?.?state"),
    ("T2star", r"t2[ _-]?(\*|star)|\bhemo|\bt2_fl2d"),
    ("T1", r"t1|mprage|mp2rage|f?spgr|bravo|\btfl\b|vibe"),
    ("PD", r"\bpd|proton"),
    ("T2", r"t2"),
)
_CONTRAST_AGENT = re.compile(r"\bgd|gad|post|\+ ?c\b|[ _-]c\+|contrast|\bce\b|[ _-]km\b", re.IGNORECASE)


def guess_modality(header: Header) -> str:
    """T1, T1CE, T2, FLAIR, PD, ... for MR by description and then by times; CXR for radiographs of the chest.

    Other modalities keep their DICOM code ("CT", "PT", "DX"). "" where nothing tells.
    """
    code = header.get("Modality").upper()
    if code in ("CR", "DX", "RG"):
        part = header.get("BodyPartExamined")
        return "CXR" if not part or _CHEST.search(part) else code
    if code != "MR":
        return code
    for keyword in ("SeriesDescription", "ProtocolName", "SequenceName"):
        words = header.get(keyword).replace("_", " ").lower()
        for name, pattern in _WORDS:
            if re.search(pattern, words):
                return "T1CE" if name == "T1" and _enhanced(header, words) else name
    return _by_times(header)


def _enhanced(header: Header, words: str) -> bool:
    return bool(header.get("ContrastBolusAgent")) or bool(_CONTRAST_AGENT.search(words))


def _by_times(header: Header) -> str:
    """From repetition, echo and inversion time in ms, within the ranges usual for heads at 1.5 to 3 T."""
    repetition, echo, inversion = (
        header.number(name) for name in ("RepetitionTime", "EchoTime", "InversionTime")
    )
    gradient = "GR" in header.get("ScanningSequence").split("\\")
    if repetition is None or echo is None:
        return ""
    if inversion is not None and inversion > 1400 and echo > 60:
        return "FLAIR"
    if (gradient and echo < 10) or (inversion is not None and 300 < inversion < 1400 and echo < 30):
        return "T1"
    if gradient:
        return "T2star" if echo > 12 else ""
    if repetition < 1000 and echo < 30:
        return "T1"
    if repetition > 1800:
        return "T2" if echo > 60 else "PD" if echo < 40 else ""
    return ""
