"""Corrupted edges: where blobs lie, what is drawn, what is lost."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from unlesion.networks.contours import damaged, drawn_over, painted, pasted, random_blobs


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def disc(number: int = 40, side: int = 48) -> Tensor:
    axis = torch.arange(side) - side / 2
    return ((axis[:, None] ** 2 + axis[None] ** 2) < (side / 3) ** 2).expand(number, 1, side, side).clone()


@pytest.mark.parametrize("dims", [2, 3])
def test_blobs_lie_in_the_roi_and_are_as_many_as_asked(dims: int) -> None:
    roi = torch.zeros(30, 1, *[20] * dims, dtype=torch.bool)
    roi[(slice(None), slice(None), *[slice(4, 16)] * dims)] = True
    blobs = random_blobs(roi, most=3, share=1.0, least=2.0, largest=5.0, generator=generator())
    assert blobs.shape == (30, 3, *[20] * dims)
    assert not (blobs & ~roi).any()
    some = blobs.flatten(2).any(2)
    assert some[:, 0].all()
    counts = some.sum(1)
    assert set(counts.tolist()) == {1, 2, 3}


def test_the_share_of_images_without_any() -> None:
    blobs = random_blobs(disc(400, 16), most=2, share=0.3, least=1.0, largest=3.0, generator=generator())
    assert float(blobs.flatten(1).any(1).float().mean()) == pytest.approx(0.3, abs=0.08)
    none = random_blobs(disc(5, 16), most=2, share=0.0, least=1.0, largest=3.0, generator=generator())
    assert not none.any()


def test_an_empty_roi_has_none() -> None:
    empty = torch.zeros(2, 1, 16, 16, dtype=torch.bool)
    assert not random_blobs(empty, most=3, share=1.0, least=1.0, largest=3.0, generator=generator()).any()


def test_sizes_lie_between_the_bounds() -> None:
    roi = torch.ones(60, 1, 64, 64, dtype=torch.bool)
    blobs = random_blobs(roi, most=1, share=1.0, least=4.0, largest=4.0, generator=generator())
    # Ragged borders move by some tens of per cent; the picture's border cuts some off.
    areas = blobs.flatten(1).sum(1).float()
    assert areas.max() < torch.pi * 16 * 2.5
    assert areas.median() > torch.pi * 16 * 0.6


def test_pasted_regions_are_one_hot_and_nothing_else_changes() -> None:
    roi = disc()
    classes = torch.randint(1, 5, (40, 48, 48), generator=generator()) * roi[:, 0]
    anatomy = nn.functional.one_hot(classes, 5).movedim(-1, 1).float()
    blobs = random_blobs(roi, most=2, share=1.0, least=3.0, largest=6.0, generator=generator(1))
    changed = pasted(anatomy, blobs, generator=generator(2))
    assert torch.equal(changed.sum(1), torch.ones(40, 48, 48))
    inside = blobs.any(1, keepdim=True).expand_as(anatomy)
    assert torch.equal(changed[~inside], anatomy[~inside])
    # No background inside, and at most two classes in the uppermost blob.
    assert (changed[:, :1][blobs.any(1, keepdim=True)] == 0).all()
    counts = [int(one[:, blob].any(1).sum()) for one, blob in zip(changed, blobs[:, 0], strict=True)]
    assert min(counts) >= 1 and sorted(counts)[10] <= 2


def test_painted_regions_have_a_grey_of_their_own() -> None:
    roi = disc(20)
    images = 0.5 * roi.expand(-1, 2, -1, -1).float()
    blobs = random_blobs(roi, most=1, share=1.0, least=4.0, largest=6.0, generator=generator())
    changed = painted(images, blobs, generator=generator(1))
    inside = blobs.any(1, keepdim=True).expand_as(images)
    assert torch.equal(changed[~inside], images[~inside])
    assert float((changed - images)[inside].abs().mean()) > 0.1
    # Channels are painted apart.
    assert not torch.allclose(changed[:, 0], changed[:, 1])


def test_even_blobs_are_more_often_large() -> None:
    roi = disc(200, 64)

    def areas(even: float) -> torch.Tensor:
        drawn = random_blobs(
            roi, most=1, share=1.0, least=1.5, largest=15.0, generator=generator(), even=even
        )
        return drawn.flatten(1).sum(1).float()

    some, all_alike = areas(0.0), areas(1.0)
    assert float(all_alike.median()) > 2 * float(some.median())
    assert float(all_alike.max()) <= float(roi[0].sum())


def test_so_many_places_are_moved() -> None:
    roi = torch.ones(8, 1, 48, 48, dtype=torch.bool)
    none = torch.zeros(8, 1, 48, 48, dtype=torch.bool)
    # A slope: every pixel that is moved changes.
    slope = (torch.arange(48)[:, None] * 48.0 + torch.arange(48)).expand(8, 1, 48, 48)
    for jitter in (0.05, 0.1, 0.3):
        moved = damaged(slope, roi, erased=none, dropped=0.0, jitter=jitter, generator=generator(3))
        assert float((moved != slope).float().mean()) == pytest.approx(jitter, abs=0.01)


def test_outlines_take_the_place_of_edges_inside() -> None:
    blobs = torch.zeros(1, 1, 20, 20, dtype=torch.bool)
    blobs[..., 5:15, 5:15] = True
    edges = drawn_over(torch.ones(1, 1, 20, 20), blobs)
    assert (edges[..., 7:13, 7:13] == 0).all()
    assert (edges[..., 5, 5:15] == 1).all() and (edges[..., :5, :] == 1).all()


def test_damage_erases_drops_and_moves() -> None:
    roi = disc()
    edges = roi.float()
    erased = torch.zeros(40, 1, 48, 48, dtype=torch.bool)
    erased[:, :, 20:28, 20:28] = True
    gone = damaged(edges, roi, erased=erased, dropped=0.0, jitter=0.0, generator=generator())
    assert torch.equal(gone, edges * ~erased)
    none = torch.zeros(40, 1, 48, 48, dtype=torch.bool)
    lost = damaged(edges, roi, erased=none, dropped=0.2, jitter=0.0, generator=generator())
    rates = 1.0 - lost.flatten(1).sum(1) / edges.flatten(1).sum(1)
    assert rates.min() >= 0.0 and rates.max() < 0.25
    assert float(rates.mean()) == pytest.approx(0.1, abs=0.03)
    rows = (torch.arange(48) % 4 == 0).float().reshape(1, 1, 1, 48) * edges
    moved = damaged(rows, roi, erased=none, dropped=0.0, jitter=0.3, generator=generator(3))
    # Every fourth column is an edge: a place that is moved by one pixel changes along with its neighbour, or not at all.
    assert not torch.equal(moved, rows)
    assert set(moved.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(damaged(rows, roi, erased=none, dropped=0.0, jitter=0.0, generator=generator()), rows)
