"""pDDPM: outside the box nothing is noised, and the boxes together make the whole image."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.methods.scenes import blob_batch, built, make_batch, tiny, train
from tests.methods.test_ddpm import Asked, context, network_of
from unlesion.methods.base import InputSpec
from unlesion.methods.diffusion.ddpm import to_signal
from unlesion.methods.diffusion.pddpm import PDDPM
from unlesion.methods.registry import describe


def pddpm(**settings: Any) -> PDDPM:
    made = tiny("pddpm", **settings)
    assert isinstance(made, PDDPM)
    return made


def test_the_paper_preset_is_the_published_network_and_grid() -> None:
    assert describe("pddpm")["presets"]["paper"]["parts"] == {"unet": 37_513_857}
    method = PDDPM(PDDPM.config_for("paper"), InputSpec(size=96))
    assert method.side == 48 and len(method.grid[0]) == 4


@pytest.mark.parametrize("placing", ["grid", "anywhere"])
@pytest.mark.parametrize(("size", "dims", "channels"), [(32, 2, 1), (36, 2, 3), (16, 3, 2)])
def test_a_training_image_is_noised_and_judged_in_one_box(
    placing: str, size: int, dims: int, channels: int
) -> None:
    method = tiny("pddpm", size=size, dims=dims, channels=channels, placing=placing, box=0.4)
    assert isinstance(method, PDDPM)
    batch = blob_batch(12, size=size, dims=dims, channels=channels)
    region = method.training_region(batch, context())
    assert region.shape == batch.roi.shape
    assert (region.flatten(1).sum(1) == round(0.4 * size) ** dims).all()
    unet = Asked(lambda noisy, times: torch.zeros_like(noisy))
    loss = method.denoising_loss(network_of(unet), batch, context())["loss"]
    (seen,) = unet.seen
    clean = to_signal(batch.images)
    changed = (seen != clean).any(1, keepdim=True)
    # In every image one box and nothing beside it is noised, and not the same box in all.
    corners = set()
    for image in changed:
        place = image[0].nonzero()
        corners.add(tuple(place.amin(0).tolist()))
        assert ((place.amax(0) - place.amin(0) + 1) <= round(0.4 * size)).all()
    assert len(corners) > 1
    judged = (changed & batch.roi).expand_as(clean)
    torch.testing.assert_close(loss, clean[judged].abs().mean(), atol=2e-3, rtol=0)


@pytest.mark.parametrize("join", ["average", "centre"])
@pytest.mark.parametrize(
    ("size", "dims", "box", "overlap"), [(32, 2, 0.5, 0.0), (32, 2, 0.3, 0.25), (16, 3, 0.4, 0.5)]
)
def test_every_pixel_is_redrawn(join: str, size: int, dims: int, box: float, overlap: float) -> None:
    method = tiny("pddpm", size=size, dims=dims, box=box, overlap=overlap, join=join)
    assert isinstance(method, PDDPM)
    images = blob_batch(3, size=size, dims=dims).images
    batch = make_batch(images, torch.ones_like(images, dtype=torch.bool))
    clean = to_signal(batch.images)
    unet = Asked(lambda noisy, times: torch.full_like(noisy, 0.5))
    found = method.explain(network_of(unet), batch).healthy
    assert found is not None
    torch.testing.assert_close(found, torch.full_like(images, 0.75))
    # Each question shows one box noised and the rest clean.
    boxes = method.grid[0]
    assert sum(unet.rows) == 3 * len(boxes)
    seen = torch.cat(unet.seen).reshape(len(boxes), 3, *clean.shape[1:])
    for box_mask, row in zip(boxes, seen, strict=True):
        assert torch.equal(row[:, ~box_mask], clean[:, ~box_mask])
        assert not torch.equal(row[:, box_mask], clean[:, box_mask])


def test_boxes_without_roi_are_left_out() -> None:
    method = pddpm()
    roi = torch.zeros(3, 1, 32, 32, dtype=torch.bool)
    roi[0, :, 3:9, 3:9] = True  # In the first box only.
    roi[2] = True
    batch = make_batch(torch.rand(3, 1, 32, 32) * roi, roi)
    unet = Asked(lambda noisy, times: torch.full_like(noisy, 0.5))
    found = method.explain(network_of(unet), batch).healthy
    assert found is not None
    torch.testing.assert_close(found, 0.75 * roi.float())
    assert sum(unet.rows) == 1 + 4


def test_all_boxes_are_cut_from_one_field() -> None:
    method = pddpm()
    black = make_batch(torch.zeros(2, 1, 32, 32), torch.ones(2, 1, 32, 32, dtype=torch.bool))
    pieces, whole = Asked(), Asked()
    method.explain(network_of(pieces), black)
    tiny("ddpm").explain(network_of(whole), black)
    seen = pieces.seen[0].reshape(4, 2, 1, 32, 32)
    together = torch.where(method.grid[0][:, None], seen, 0.0).sum(0)
    torch.testing.assert_close(together, whole.seen[0])


def test_overlaps_are_averaged_or_cut_in_the_middle() -> None:
    """A network that answers the number of the box shows who answers for a pixel."""
    batch = make_batch(torch.zeros(1, 1, 32, 32), torch.ones(1, 1, 32, 32, dtype=torch.bool))

    def answers(join: str) -> list[float]:
        method = pddpm(box=0.5, overlap=0.5, join=join)
        boxes = method.grid[0]

        def which(noisy: Tensor, times: Tensor) -> Tensor:
            return torch.arange(len(boxes)).float().reshape(-1, 1, 1, 1).expand_as(noisy) % 3

        found = method.explain(network_of(Asked(which)), batch).healthy
        assert found is not None
        return [round(2 * float(value) - 1, 3) for value in found[0, 0, 0]]

    # Three boxes a row, at 0, 8 and 16.
    assert answers("centre") == [0.0] * 12 + [1.0] * 8 + [2.0] * 12
    assert answers("average") == [0.0] * 8 + [0.5] * 8 + [1.5] * 8 + [2.0] * 8


def test_one_box_is_plain_diffusion() -> None:
    network = built(pddpm())
    batch = blob_batch(3)
    train(pddpm(), network, batch, steps=3)
    plain = tiny("ddpm").explain(network, batch).healthy
    torch.testing.assert_close(pddpm(box=1.0).explain(network, batch).healthy, plain)
    boxed = pddpm().explain(network, batch).healthy
    assert boxed is not None and plain is not None and not torch.allclose(boxed, plain, atol=1e-3)


def test_chains_are_refused() -> None:
    with pytest.raises(ValueError, match="one step"):
        PDDPM.config_for("tiny", {"sampler": "ddim"})


@pytest.mark.slow
def test_an_unseen_bright_spot_becomes_weaker() -> None:
    method = pddpm()
    network = built(method)
    train(method, network, blob_batch(128), steps=100)
    batch = blob_batch(8, seed=7)
    clean = batch.images.clone()
    spot = (slice(None), slice(None), slice(6, 12), slice(18, 24))
    batch.images[spot] += 0.5 * batch.roi[spot]
    healthy = method.explain(network, batch).healthy
    assert healthy is not None
    left = (healthy - clean)[spot].abs().mean() / (batch.images - clean)[spot].abs().mean()
    assert float(left) < 0.7
