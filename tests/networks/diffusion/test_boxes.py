"""Boxes cover an image, whatever its size."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unlesion.networks.diffusion.boxes import box_cells, box_grid, box_starts, masks


def test_the_published_grid() -> None:
    assert box_starts(96, 48, 48) == [0, 48]
    boxes, cells = box_grid(96, 2, side=48, stride=48)
    assert boxes.shape == (4, 1, 96, 96)
    assert torch.equal(boxes, cells)
    assert (boxes.sum(0) == 1).all()
    assert boxes[1, 0, 0, 48] and not boxes[1, 0, 0, 47] and not boxes[1, 0, 48, 48]


def test_boxes_that_do_not_tile_move_together() -> None:
    assert box_starts(100, 48, 48) == [0, 26, 52]
    assert box_starts(64, 32, 16) == [0, 16, 32]
    assert box_starts(10, 10, 3) == [0]


def test_a_cell_ends_in_the_middle_of_what_boxes_share() -> None:
    assert box_cells([0, 16, 32], 32, 64) == [(0, 24), (24, 40), (40, 64)]
    assert box_cells([0], 10, 10) == [(0, 10)]


@given(
    size=st.integers(1, 70),
    share=st.floats(0.01, 1.0),
    step=st.floats(0.01, 1.0),
)
def test_every_pixel_is_covered(size: int, share: float, step: float) -> None:
    side = max(1, round(share * size))
    stride = max(1, round(step * side))
    starts = box_starts(size, side, stride)
    cells = box_cells(starts, side, size)
    assert starts[0] == 0 and starts[-1] + side == size
    assert all(0 < after - before <= stride for before, after in pairwise(starts))
    # The cells follow each other without a gap, and each lies in its box.
    assert [pixel for first, end in cells for pixel in range(first, end)] == list(range(size))
    assert all(start <= a < b <= start + side for start, (a, b) in zip(starts, cells, strict=True))


@pytest.mark.parametrize(("dims", "number"), [(2, 9), (3, 27)])
def test_grids_of_any_dimension(dims: int, number: int) -> None:
    boxes, cells = box_grid(17, dims, side=8, stride=7)
    assert len(boxes) == len(cells) == number
    assert (boxes.sum(0) >= 1).all() and (boxes.sum(0) > 1).any()
    assert (cells.sum(0) == 1).all()
    assert not (cells & ~boxes).any()
    assert (boxes.flatten(1).sum(1) == 8**dims).all()


def test_masks_are_what_their_corners_say() -> None:
    made = masks(torch.tensor([[1, 2]]), torch.tensor([[3, 5]]), (4, 6))
    expected = torch.zeros(1, 1, 4, 6, dtype=torch.bool)
    expected[..., 1:3, 2:5] = True
    assert torch.equal(made, expected)


@pytest.mark.parametrize(("side", "stride"), [(0, 1), (11, 5), (4, 5), (4, 0)])
def test_boxes_with_gaps_are_refused(side: int, stride: int) -> None:
    with pytest.raises(ValueError, match="do not cover"):
        box_starts(10, side, stride)
