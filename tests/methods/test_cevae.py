"""The context-encoding VAE."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.methods.scenes import blob_batch, built, tiny, train
from unlesion.methods.base import StepContext


class Stub(nn.Module):
    """Draws what it is told whenever erased images come in."""

    def __init__(self, answer: Tensor | None) -> None:
        super().__init__()
        self.answer = answer
        self.decode = lambda code: torch.zeros_like(self.shown)

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        self.shown = images
        return torch.zeros(len(images), 2), torch.zeros(len(images), 2)

    def forward(self, images: Tensor) -> Tensor:
        self.erased = images
        return images if self.answer is None else self.answer


def context() -> StepContext:
    return StepContext(generator=torch.Generator().manual_seed(0), progress=0.5, step=3)


def test_targets_are_clean() -> None:
    method = tiny("cevae")
    batch = blob_batch(8)
    loss = method.stages()[0].phases[0].loss
    perfect = Stub(batch.images)
    assert float(loss(perfect, batch, context())["context"]) == 0.0
    # Every image lost something, each at places of its own, and only inside its roi's box.
    lost = (perfect.erased != batch.images)[:, 0]
    assert lost.flatten(1).any(1).all()
    assert len({tuple(image.flatten().tolist()) for image in lost}) == 8
    # Handing the erased image back is punished: it is not the target.
    copier = Stub(None)
    value = loss(copier, batch, context())["context"]
    expected = (copier.erased - batch.images).abs().sum() / batch.roi.sum()
    torch.testing.assert_close(value, expected)
    assert float(value) > 0


def test_branches_are_weighted_to_one() -> None:
    batch = blob_batch(4)
    for share in (0.0, 0.5, 1.0):
        method = tiny("cevae", context=share)
        named = method.stages()[0].phases[0].loss(built(method).eval(), batch, context())
        pixels = batch.roi.sum()
        variational = named["reconstruction"] + named["kl"] * 4 / pixels
        torch.testing.assert_close(named["loss"], (1 - share) * variational + share * named["context"])


def test_native_map_is_error_times_gradient_of_the_bound() -> None:
    method = tiny("cevae")
    network = built(method)
    batch = blob_batch(3)
    train(method, network, batch, steps=2)
    found = method.explain(network, batch)
    assert found.healthy is not None
    assert method.native["rule"] == "map:combi"
    expected = (batch.images - found.healthy)[:, 0].abs() * found.maps["elbo_gradient"]
    torch.testing.assert_close(found.maps["combi"], expected)


def test_side_of_the_squares_follows_the_image() -> None:
    method = tiny("cevae", most=1, size=64)
    batch = blob_batch(4, size=64)
    batch.images[:] = batch.roi.float()
    stub = Stub(batch.images)
    method.stages()[0].phases[0].loss(stub, batch, context())
    lost = (stub.erased != batch.images).flatten(1).sum(1)
    # 20 of 128 pixels are 10 of 64; at the round roi's rim a part may lie outside.
    assert int(lost.max()) == pytest.approx(100, abs=1)


def test_batch_statistics_are_those_of_whole_images() -> None:
    """Half of what detection normalises by came from images with holes."""
    whole, both = tiny("vae"), tiny("cevae", square=0.9)
    batch = blob_batch(8)
    means = []
    for method in (whole, both):
        network = built(method).train()
        method.stages()[0].phases[0].loss(network, batch, context())
        means.append({k: v for k, v in network.state_dict().items() if k.endswith("running_mean")})
    assert means[0] and means[0].keys() == means[1].keys()
    for name, mean in means[0].items():
        torch.testing.assert_close(mean, means[1][name])
