from __future__ import annotations

import json

import pytest

from unlesion.doctor import Finding
from unlesion.doctor.finding import by_severity


def _finding(level: str = "note", **values: object) -> Finding:
    fixed = {"code": "a.b", "level": level, "where": (), "what": "it is so", "mend": "nothing"}
    return Finding(**(fixed | values))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, "it is so"),
        ({"where": ("x",), "of": 1, "detail": "why"}, "it is so (why)"),
        ({"where": ("x",), "of": 7}, "1 of 7 scans: it is so (x)"),
        ({"where": ("x", "y"), "of": 7, "detail": "why"}, "2 of 7 scans: it is so (first: x: why)"),
        ({"where": ("x", "y"), "of": 7, "unit": "subject"}, "2 of 7 subjects: it is so (first: x)"),
        ({"where": ("x", "y")}, "it is so (first: x)"),
    ],
)
def test_sentences(values: dict[str, object], sentence: str) -> None:
    assert _finding(**values).sentence == sentence


def test_the_worst_comes_first() -> None:
    findings = [
        _finding("note", where=("x", "y")),
        _finding("error"),
        _finding("warning", where=("x",)),
        _finding("warning", where=("x", "y")),
    ]
    assert [(f.level, len(f.where)) for f in by_severity(findings)] == [
        ("error", 0),
        ("warning", 2),
        ("warning", 1),
        ("note", 2),
    ]


def test_json() -> None:
    saved = _finding(where=("x", "y"), of=3, value=0.9, interval=(0.8, 1.0), n=12).to_json()
    assert json.loads(json.dumps(saved)) == saved
    assert (saved["count"], saved["of"], saved["interval"]) == (2, 3, [0.8, 1.0])
