"""One name for the modality of an image, however many channels it has."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from unlesion.errors import BadInput

UNNAMED = "unnamed"


def condition_name(modality: Sequence[str]) -> str:
    """The modality of an image in one word, without regard to case: ("T1", "Flair") is "T1+FLAIR"."""
    return "+".join(name.upper() or UNNAMED for name in modality)


def foreign(names: Iterable[str], known: Collection[str]) -> list[str]:
    """Those modalities that are surely not among the known ones; both by `condition_name`.

    An image without a name may be of any modality: one among `names` is never foreign, and nothing is where
    one is among `known`. Nothing is foreign where nothing is known, either.
    """
    if not known or any(not name or UNNAMED in name for name in known):
        return []
    return [name for name in names if name and UNNAMED not in name and name not in known]


def refuse_other_order(given: Sequence[str], learnt: Sequence[str], *, what: str) -> None:
    """Refuse the channels of a training in another order: a network knows them by their place.

    Args:
        given: names of a scan's channels; of other names, detection warns.
        learnt: names of the training's.
        what: whose `given` are, for the message.

    Raises:
        BadInput: the same names, in another order.
    """
    one, other = ([name.casefold() for name in names] for names in (given, learnt))
    if one != other and sorted(one) == sorted(other):
        order = ",".join(learnt)
        raise BadInput(
            f"{what}: channels {','.join(given)}, but the run was trained on them in the order {order}; use "
            f"--channels {order}"
        )
