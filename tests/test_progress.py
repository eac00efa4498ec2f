"""Progress where there is no terminal."""

from __future__ import annotations

import pytest

from tests.methods.scenes import blob_batch, built, tiny
from unlesion import progress


def test_work_below_a_bar_is_heard_beside_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_SECONDS", 0.0)
    progress.tell("nobody hears this")
    with progress.shown("detect", 2) as advance:
        progress.tell("step 3 of 250")
        with progress.silent("inner"):
            progress.tell("step 4 of 250")
        advance(note="one")
    progress.tell("nor this")
    said = capsys.readouterr().err.splitlines()
    assert ["step 3 of 250" in said[0], "step 4 of 250" in said[1], "one" in said[2]] == [True] * 3
    assert "0 %" in said[0] and "50 %" in said[2]
    assert "nobody" not in "".join(said) and "nor this" not in "".join(said)


def test_chains_tell_their_steps(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_SECONDS", 0.0)
    method = tiny("anoddpm", steps=4)
    with progress.shown("detect", 1):
        method.explain(built(method), blob_batch(2))
    said = capsys.readouterr().err
    assert all(f"noise level 250: step {done} of 4 for 2 images" in said for done in (1, 2, 3, 4))


def test_what_was_done_before_tells_nothing_of_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with progress.shown("train", None) as advance:
        advance(2000, total=4000, already=True)
        for _ in range(500):
            clock[0] += 0.2
            advance(1, total=4000)
    # 100 seconds for 500 steps, 1500 are left.
    assert "62 %" in (said := capsys.readouterr().err.splitlines()[-1]) and "5:00 left" in said


def test_names_with_brackets_are_shown_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They were read as markup: "[a]" vanished, and "[/" ended the work."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with progress._terminal("scan[a] [/b]", 1) as advance:
        advance(note="sub[1]/[/x]")
    assert "scan[a] [/b]" in capsys.readouterr().err
