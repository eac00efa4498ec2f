"""Boxes on an image: where they lie, and which part of each is used."""

from __future__ import annotations

from itertools import pairwise, product

import torch
from torch import Tensor


def box_starts(size: int, side: int, stride: int) -> list[int]:
    """First pixels of as many boxes as are needed to cover an axis, evenly spread from end to end.

    Where boxes a stride apart do not end with the axis, they move together: neighbours overlap by more than was
    asked for, and no pixel is left out.

    Args:
        size: pixels of the axis.
        side: pixels of a box, 1 to `size`.
        stride: pixels from one box to the next at most, 1 to `side`.

    Raises:
        ValueError: boxes that do not fit, or that would leave gaps.
    """
    if not 1 <= side <= size or not 1 <= stride <= side:
        raise ValueError(f"boxes of {side} pixels every {stride} do not cover {size}")
    steps = -(-(size - side) // stride)
    return [round(step * (size - side) / steps) for step in range(steps + 1)] if steps else [0]


def box_cells(starts: list[int], side: int, size: int) -> list[tuple[int, int]]:
    """The part of an axis for which each box answers: up to the middle of what it shares with its neighbours.

    Returns:
        (first pixel, first pixel after) for each box; one begins where the other ends, from 0 to `size`.
    """
    middles = [(before + side + after) // 2 for before, after in pairwise(starts)]
    return list(pairwise([0, *middles, size]))


def masks(firsts: Tensor, ends: Tensor, sides: tuple[int, ...]) -> Tensor:
    """Boxes as masks: (N, 1, *sides) bool, on the device of `firsts`.

    Args:
        firsts: (N, dims) first pixels.
        ends: (N, dims) first pixels after.
        sides: pixels of the image along each axis.
    """
    inside = torch.ones((len(firsts), 1, *sides), dtype=torch.bool, device=firsts.device)
    for axis, side in enumerate(sides):
        place = torch.arange(side, device=firsts.device)
        within = (place >= firsts[:, axis, None]) & (place < ends[:, axis, None])
        inside &= within.reshape(-1, 1, *[side if other == axis else 1 for other in range(len(sides))])
    return inside


def box_grid(size: int, dims: int, *, side: int, stride: int) -> tuple[Tensor, Tensor]:
    """All boxes of a grid on a square or cube, and the cells that they answer for.

    Returns:
        Twice (N, 1, size, ...) bool on the CPU: the boxes, which cover every pixel at least once, and their cells,
        which cover every pixel exactly once and lie in their boxes.
    """
    starts = box_starts(size, side, stride)
    cells = box_cells(starts, side, size)
    places = torch.tensor(list(product(starts, repeat=dims)), device="cpu")
    bounds = torch.tensor(list(product(cells, repeat=dims)), device="cpu")
    sides = (size,) * dims
    return masks(places, places + side, sides), masks(bounds[..., 0], bounds[..., 1], sides)
