"""Erased squares."""

from __future__ import annotations

import torch
from scipy.ndimage import label

from unlesion.networks.erasing import erase_squares


def erase(
    images: torch.Tensor, roi: torch.Tensor, *, side: int = 5, most: int = 3, seed: int = 0
) -> torch.Tensor:
    return erase_squares(images, roi, side=side, most=most, generator=torch.Generator().manual_seed(seed))


def test_squares_lie_in_the_bounding_box_and_differ_between_images() -> None:
    images = torch.ones(200, 2, 32, 32)
    roi = torch.zeros(200, 1, 32, 32, dtype=torch.bool)
    roi[..., 6:27, 10:30] = True
    erased = erase(images, roi)
    holes = erased == 0
    assert torch.equal(holes[:, 0], holes[:, 1])
    assert not holes[..., :6, :].any() and not holes[..., 27:, :].any()
    assert not holes[..., :10].any() and not holes[..., 30:].any()
    # Every row and column of the box is reached, the outermost included.
    reached = holes[:, 0, 6:27, 10:30].any(0)
    assert reached.any(0).all() and reached.any(1).all()
    area = holes[:, 0].flatten(1).sum(1)
    assert int(area.min()) == 25 and 50 < int(area.max()) <= 75
    assert len({tuple(image.flatten().nonzero().flatten().tolist()) for image in holes[:, 0]}) > 170
    assert (images == 1).all()


def test_one_square_is_a_square() -> None:
    images = torch.ones(20, 1, 32, 32)
    roi = torch.ones(20, 1, 32, 32, dtype=torch.bool)
    for image in erase(images, roi, most=1)[:, 0]:
        found, number = label((image == 0).numpy())
        rows, columns = found.nonzero()
        assert number == 1
        assert rows.max() - rows.min() == columns.max() - columns.min() == 4


def test_volumes_empty_and_small_rois() -> None:
    images = torch.ones(3, 1, 16, 16, 16)
    roi = torch.zeros(3, 1, 16, 16, 16, dtype=torch.bool)
    roi[0] = True
    roi[1, :, 8, 8, 8] = True
    erased = erase(images, roi)
    assert (erased[0] == 0).sum() >= 125
    assert erased.shape == images.shape
    assert torch.equal(erase(images, roi, seed=4), erase(images, roi, seed=4))
