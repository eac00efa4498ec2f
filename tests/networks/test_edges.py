"""Edges of label maps, and Canny's of images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.feature import canny
from torch import Tensor, nn

from unlesion.networks.canny import canny_edges
from unlesion.networks.edges import anatomy_edges, dilated


def labels(values: Tensor, planes: int) -> Tensor:
    return nn.functional.one_hot(values, planes).movedim(-1, 1).float()


@pytest.mark.parametrize("dims", [2, 3])
def test_a_constant_map_has_no_edges(dims: int) -> None:
    anatomy = labels(torch.full((1, *[8] * dims), 2), 4)
    assert (anatomy_edges(anatomy) == 0).all()
    assert (anatomy_edges(anatomy, each=True) == 0).all()


def test_two_half_planes_have_a_line_of_two_pixels() -> None:
    halves = torch.zeros(1, 8, 10, dtype=torch.long)
    halves[..., 5:] = 1
    edges = anatomy_edges(labels(halves, 3))
    assert edges.shape == (1, 1, 8, 10)
    expected = torch.zeros(8, 10)
    expected[:, 4:6] = 1
    assert torch.equal(edges[0, 0], expected)
    each = anatomy_edges(labels(halves, 3), each=True)
    assert torch.equal(each[0, 0], expected) and torch.equal(each[0, 1], expected)
    assert (each[0, 2] == 0).all()


def test_in_volumes_the_line_is_a_sheet() -> None:
    halves = torch.zeros(1, 6, 6, 6, dtype=torch.long)
    halves[:, 3:] = 1
    edges = anatomy_edges(labels(halves, 2))[0, 0]
    assert edges[2:4].min() == 1 and edges.sum() == 2 * 36


@pytest.mark.parametrize("shape", [(2, 3, 7, 9), (1, 2, 5, 6, 4)])
def test_dilation_is_max_pooling_with_its_gradient(shape: tuple[int, ...]) -> None:
    values = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    pool = nn.functional.max_pool2d if len(shape) == 4 else nn.functional.max_pool3d
    one, other = values.clone().requires_grad_(), values.clone().requires_grad_()
    ours, theirs = dilated(one), pool(other, 3, stride=1, padding=1)
    assert torch.equal(ours, theirs)
    weights = torch.rand(ours.shape, generator=torch.Generator().manual_seed(1))
    (ours * weights).sum().backward()
    (theirs * weights).sum().backward()
    torch.testing.assert_close(one.grad, other.grad)


def test_what_is_inside_a_homogeneous_region_leaves_no_trace() -> None:
    whole = torch.zeros(1, 20, 20, dtype=torch.long)
    whole[:, 5:15, 5:15] = 1
    changed = whole.clone()
    changed[:, 6:14, 6:14] = 1
    assert torch.equal(anatomy_edges(labels(whole, 3)), anatomy_edges(labels(changed, 3)))


def test_canny_agrees_with_scikit_image() -> None:
    y, x = np.mgrid[:64, :64]
    image = 0.3 + 0.5 * (((y - 30) ** 2 + (x - 34) ** 2) < 15**2) + 0.2 * (x > 54)
    roi = torch.ones(1, 1, 64, 64, dtype=torch.bool)
    ours = (
        canny_edges(torch.from_numpy(image)[None, None].float(), roi, low=0.0125, high=0.025)[0, 0]
        .bool()
        .numpy()
    )
    theirs = canny(image, sigma=1.0, low_threshold=0.1, high_threshold=0.2)
    inner = np.s_[3:-3, 3:-3]
    near = dilated(torch.from_numpy(theirs)[None, None].float())[0, 0].bool().numpy()
    near_ours = dilated(torch.from_numpy(ours)[None, None].float())[0, 0].bool().numpy()
    assert ours[inner].sum() > 80
    # Every edge of the one lies beside an edge of the other.
    assert near[inner][ours[inner]].all()
    assert near_ours[inner][theirs[inner]].all()


def test_canny_of_nothing_is_nothing_and_the_roi_is_no_edge() -> None:
    roi = torch.zeros(2, 1, 32, 32, dtype=torch.bool)
    roi[0, :, 6:26, 6:26] = True
    images = torch.full((2, 2, 32, 32), 0.7) * roi
    assert (canny_edges(images, roi, low=0.02, high=0.05) == 0).all()
    volume = torch.zeros(1, 1, 16, 16, 16)
    volume[:, :, 8:] = 1.0
    found = canny_edges(volume, torch.ones_like(volume, dtype=torch.bool), low=0.05, high=0.1)
    assert found[0, 0, 7:9].sum() > 100 and found[0, 0, :6].sum() == 0
