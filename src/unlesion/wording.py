"""Words of messages and pages that depend on a number."""

from __future__ import annotations


def count(many: float, what: str, plural: str | None = None) -> str:
    """A count with its noun: "1 scan", "12 subjects", "2 modalities".

    Args:
        many: how many.
        what: the noun for one.
        plural: for several, where it is not the noun with an s.
    """
    figures = f"{many:,}".replace(",", " ") if isinstance(many, int) else f"{many:g}"
    return f"{figures} {what if many == 1 else plural or what + 's'}"
