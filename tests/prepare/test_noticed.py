"""What was noticed on many scans is said in few lines."""

from __future__ import annotations

from unlesion.prepare import Noticed


def test_a_line_a_kind_whatever_the_numbers_in_it() -> None:
    noticed = Noticed()
    for number in range(5):
        noticed.add(
            f"s{number}",
            [f"it would stretch the head by 0.4{number}: centred", "no brain"][: 1 + (number == 3)],
        )
    noticed.add("well", [])
    noticed.add("twice", ["odd", "odd"])
    # What is handed on names nobody.
    assert noticed.lines() == [
        "5 of 7 scans: it would stretch the head by 0.40: centred",
        "1 of 7 scans: no brain",
        "1 of 7 scans: odd",
    ]
    # Whether there is a log depends on who asks.
    assert [line.replace("; the log names all", "") for line in noticed.lines(named=True)] == [
        "5 of 7 scans: it would stretch the head by 0.40: centred (so s0)",
        "1 of 7 scans: no brain (s3)",
        "1 of 7 scans: odd (twice)",
    ]


def test_nothing_noticed_is_nothing_said() -> None:
    noticed = Noticed()
    noticed.add("well", [])
    assert noticed.lines() == []
