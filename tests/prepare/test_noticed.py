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
    assert noticed.lines() == [
        "5 of 7 scans: it would stretch the head by 0.40: centred (that one is s0; the log names all)",
        "s3: no brain",
        "twice: odd",
    ]


def test_nothing_noticed_is_nothing_said() -> None:
    noticed = Noticed()
    noticed.add("well", [])
    assert noticed.lines() == []
