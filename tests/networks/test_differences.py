from __future__ import annotations

import pytest
import torch

from unlesion.networks.differences import slope, slopes_inside


@pytest.mark.parametrize("dims", [2, 3])
def test_a_ramp_has_its_own_slope_along_its_own_axis(dims: int) -> None:
    ramp = 0.3 * torch.arange(8.0).reshape(1, 1, 8, *[1] * (dims - 1)).expand(2, 1, *[8] * dims)
    along = slope(ramp, 2)
    torch.testing.assert_close(along[:, :, 1:-1], torch.full_like(along[:, :, 1:-1], 0.3))
    assert not along[:, :, [0, -1]].any()
    assert not slope(ramp, 3).any()


def test_the_length_of_a_gradient() -> None:
    rows, columns = torch.meshgrid(torch.arange(9.0), torch.arange(9.0), indexing="ij")
    image = (0.3 * rows + 0.4 * columns)[None, None]
    everywhere = torch.ones(1, 1, 9, 9, dtype=torch.bool)
    found = slopes_inside(image, everywhere)
    torch.testing.assert_close(found[..., 1:-1, 1:-1], torch.full((1, 1, 7, 7), 0.5))


def test_what_lies_outside_the_region_makes_no_edge() -> None:
    roi = torch.zeros(1, 1, 12, 12, dtype=torch.bool)
    roi[..., 3:9, 2:10] = True
    image = torch.where(roi, 0.5, torch.rand(1, 1, 12, 12, generator=torch.Generator().manual_seed(0)))
    assert not slopes_inside(image, roi).any()
