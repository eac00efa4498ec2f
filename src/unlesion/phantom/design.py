"""Who is who in a virtual cohort: split and pathology of each subject, by number alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unlesion.errors import BadInput
from unlesion.phantom.pathologies import PATHOLOGIES, STANDARD


@dataclass(frozen=True)
class Role:
    """Split ("train", "val", "test") and pathology (None: healthy) of one subject.

    `volume_ml` is the volume of its lesions; as is typical if None.
    """

    split: str
    pathology: str | None = None
    volume_ml: float | None = None


# The first 24 subjects go round train, val, test: calibration needs some subjects before more training helps.
_START = 24
# Then rounds of 20: nine for training, five for calibration, six for the test.
_ROUND = (
    "train val train test train val train test train val test train train val test train test train val test"
)
# Of the test's subjects in a row, which are sick.
_SICK = (True, False, True, True, False, True)


def standard_role(number: int, pathologies: Sequence[str] = STANDARD) -> Role:
    """The role of subject `number` (0, 1, ...), whatever the size of the cohort.

    Train and val are healthy. Of n subjects val gets a third up to n = 24 (8 subjects), then a quarter
    (13 at 44, 18 at 64, 22 at 80, 28 at 104); two thirds of the test are sick, going round the pathologies, so that
    six test subjects (n = 18) hold all four of the standard ones.
    """
    split = _split(number)
    if split != "test":
        return Role(split)
    before = sum(_split(earlier) == "test" for earlier in range(number))
    cycle, place = divmod(before, len(_SICK))
    if not _SICK[place]:
        return Role(split)
    sick = cycle * sum(_SICK) + sum(_SICK[:place])
    return Role(split, pathologies[sick % len(pathologies)])


def known_pathologies(names: Sequence[str] | None) -> tuple[str, ...]:
    """Checked names; None: the standard ones, "all": every one.

    Raises:
        BadInput: a name that the phantom does not know.
    """
    if names is None:
        return STANDARD
    if tuple(names) == ("all",):
        return tuple(PATHOLOGIES)
    unknown = [name for name in names if name not in PATHOLOGIES]
    if unknown or not names:
        raise BadInput(
            f"pathology {unknown[0] if unknown else '(none)'!r} is not known to the phantom; "
            f"choose from {', '.join(PATHOLOGIES)}, or all"
        )
    return tuple(names)


def _split(number: int) -> str:
    if number < _START:
        return ("train", "val", "test")[number % 3]
    return _ROUND.split()[(number - _START) % 20]
