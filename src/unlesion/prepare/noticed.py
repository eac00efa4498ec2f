"""What was noticed on the scans of a cohort, in few lines: two hundred that could not be aligned are one of them."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable

from unlesion.wording import count

_log = logging.getLogger("unlesion")


class Noticed:
    """Doubts about scans, by kind: the same words but for the numbers in them. Each goes into the log file, if one is open."""

    def __init__(self) -> None:
        self._kinds: dict[str, list[tuple[str, str]]] = {}
        self._scans = 0

    def add(self, key: str, doubts: Iterable[str]) -> None:
        """Note a scan that was looked at, and what there is to say of it, which may be nothing."""
        self._scans += 1
        for words in dict.fromkeys(doubts):
            self._kinds.setdefault(re.sub(r"\d[\d.]*", "#", words), []).append((key, words))
            if _log.handlers:
                _log.info("%s: %s", key, words)

    def lines(self, *, named: bool = False) -> list[str]:
        """A line a kind, the most frequent first, with the words of its first scan.

        Args:
            named: say which scan that is. What is kept in runs and results, which are handed on, names nobody.
        """
        kinds = sorted(self._kinds.values(), key=len, reverse=True)
        return [self._line(kind, named=named) for kind in kinds]

    def _line(self, kind: list[tuple[str, str]], *, named: bool) -> str:
        key, words = kind[0]
        line = f"{len(kind)} of {count(self._scans, 'scan')}: {words}"
        if not named:
            return line
        return (
            f"{line} ({key})"
            if len(kind) == 1
            else f"{line} (so {key}{'; the log names all' * bool(_log.handlers)})"
        )
