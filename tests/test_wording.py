from __future__ import annotations

import re
from pathlib import Path

import pytest

from unlesion.wording import count

SOURCES = Path(__file__).resolve().parent.parent / "src" / "unlesion"


@pytest.mark.parametrize(
    ("many", "words", "said"),
    [
        (1, ("scan",), "1 scan"),
        (0, ("scan",), "0 scans"),
        (12345, ("subject",), "12 345 subjects"),
        (1.0, ("minute",), "1 minute"),
        (0.5, ("minute",), "0.5 minutes"),
        (2, ("modality", "modalities"), "2 modalities"),
        (1, ("modality", "modalities"), "1 modality"),
    ],
)
def test_a_count_agrees_with_its_noun(many: float, words: tuple[str, ...], said: str) -> None:
    assert count(many, *words) == said


def test_there_is_one_way_to_count() -> None:
    own = re.compile(r"""\{\s*'s?' if [\w.]+ == 1|\{\s*'' if [\w.]+ == 1 else 's'""")
    found = [path.name for path in SOURCES.rglob("*.py") if own.search(path.read_text(encoding="utf-8"))]
    assert found == []
