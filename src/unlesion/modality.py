"""One name for the modality of an image, however many channels it has."""

from __future__ import annotations

from collections.abc import Sequence

UNNAMED = "unnamed"


def condition_name(modality: Sequence[str]) -> str:
    """The modality of an image in one word, without regard to case: ("T1", "Flair") is "T1+FLAIR"."""
    return "+".join(name.upper() or UNNAMED for name in modality)
