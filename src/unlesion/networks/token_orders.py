"""Orders in which the places of a grid can be walked."""

from __future__ import annotations

from itertools import permutations, product

import torch
from torch import Tensor


def token_orders(grid: int, *, dims: int, number: int) -> Tensor:
    """The first few ways to walk a grid line by line.

    Row by row, the same backwards, column by column, that backwards, and so on for all axes; then those with only
    some axes reversed. There are 8 in 2-D and 48 in 3-D.

    Args:
        grid: points a side.
        dims: 2 or 3.
        number: how many orders.

    Returns:
        (number, grid^dims) int64: `orders[k, i]` is the place, counted row by row, that order k visits as its i-th.

    Raises:
        ValueError: there are not so many.
    """
    places = torch.arange(grid**dims).reshape([grid] * dims)
    # Without any reversal and with all of them first: together those two look from all sides.
    reversals = sorted(product((False, True), repeat=dims), key=lambda flips: sum(flips) not in (0, dims))
    mirrored = [places.flip([axis for axis, flip in enumerate(flips) if flip]) for flips in reversals]
    axes = list(permutations(range(dims)))
    walks = [
        turned.permute(order).flatten()
        for pair in (mirrored[:2], mirrored[2:])
        for order in axes
        for turned in pair
    ]
    if not 0 < number <= len(walks):
        raise ValueError(f"there are 1 to {len(walks)} orders of a grid in {dims} dimensions, not {number}")
    return torch.stack(walks[:number])
