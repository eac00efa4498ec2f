"""Which image sizes a network of several levels can take."""

from __future__ import annotations

from collections.abc import Sequence

from unlesion.errors import BadInput
from unlesion.methods.base import InputSpec


def coarsest_grid(spec: InputSpec, halvings: int, *, method: str) -> int:
    """Points along a side after halving the image `halvings` times.

    Raises:
        BadInput: the image's side is no multiple of 2^halvings, or too small.
    """
    step = 1 << halvings
    if spec.size % step or spec.size < 2 * step:
        raise BadInput(
            f"{method} halves images {halvings} times and cannot take {spec.size} pixels a side; "
            f"set recipe.size to a multiple of {step}, at least {2 * step}"
        )
    return spec.size // step


def critic_fits(spec: InputSpec, widths: Sequence[int], *, method: str) -> None:
    """Refuse images too small for a patch critic with these convolutions, all but one of which halve.

    Raises:
        BadInput: less than 3 pixels a side are left.
    """
    halvings = len(widths) - 1
    if spec.size >> halvings < 3:
        raise BadInput(
            f"{method}: the critic halves images {halvings} times, which leaves less than 3 of {spec.size} "
            "pixels a side; shorten method.critic_widths or set recipe.size"
        )
