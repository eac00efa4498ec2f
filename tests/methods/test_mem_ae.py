"""The memory: sparse convex mixtures; and the autoencoder around it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from tests.methods.scenes import blob_batch, built, tiny, train
from unlesion.errors import BadInput
from unlesion.methods.base import InputSpec, StepContext
from unlesion.methods.registry import get_method
from unlesion.networks.memory import Memory, entropy, shrunk
from unlesion.training.refusing import refuse_early


def test_shrinkage_by_hand() -> None:
    weights = torch.tensor([0.6, 0.3, 0.09, 0.01])
    # Above 0.1 a weight keeps itself, at or below it gets nothing; then the rest is brought to 1.
    torch.testing.assert_close(shrunk(weights, 0.1), torch.tensor([0.6, 0.3, 0.0, 0.0]) / 0.9)
    torch.testing.assert_close(shrunk(weights, 0.0), weights)


def test_shrinkage_leaves_even_weights_alone_rather_than_nothing() -> None:
    weights = torch.full((2, 4), 0.25, requires_grad=True)
    found = shrunk(weights, 0.5)
    assert torch.equal(found.detach(), weights.detach())
    (found * torch.arange(4.0)).sum().backward()
    assert weights.grad is not None and weights.grad.isfinite().all() and (weights.grad != 0).any()


@pytest.mark.parametrize("threshold", [0.0, 0.0025, 0.02, 0.3, 0.9])
@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0, 1e4])
def test_weights_are_convex_whatever_is_asked(threshold: float, scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = (scale * torch.randn(7, 50, generator=generator)).requires_grad_()
    weights = shrunk(logits.softmax(-1), threshold)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(7))
    weights.square().sum().backward()
    assert logits.grad is not None and logits.grad.isfinite().all()


def test_entropy_of_one_row_and_of_all() -> None:
    assert float(entropy(torch.tensor([[0.0, 1.0, 0.0]]))) == pytest.approx(0.0, abs=1e-6)
    assert float(entropy(torch.full((1, 8), 0.125))) == pytest.approx(math.log(8))


@pytest.mark.parametrize("addressing", ["dot", "cosine"])
@pytest.mark.parametrize("shape", [(3, 6), (3, 6, 4, 4), (3, 6, 2, 2, 2)])
def test_memory_answers_within_the_hull_of_its_rows(addressing: Any, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    memory = Memory(10, 6, addressing=addressing)
    assert memory.rows.abs().max() <= 1 / math.sqrt(6)
    answer, weights = memory(100.0 * torch.randn(shape))
    assert answer.shape == shape and weights.shape == (3, 10, *shape[2:])
    torch.testing.assert_close(weights.sum(1), torch.ones(3, *shape[2:]))
    assert answer.abs().max() <= memory.rows.abs().max() + 1e-6
    torch.testing.assert_close(answer, torch.einsum("bn...,nc->bc...", weights, memory.rows))


def test_likeness_by_product_and_by_cosine() -> None:
    rows = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    asked = torch.tensor([[2.0, 1.0]])
    for addressing, likeness in [("dot", [2.0, 3.0]), ("cosine", [2.0 / 5**0.5, 1.0 / 5**0.5])]:
        memory = Memory(2, 2, shrink=0.0, addressing=addressing)  # type: ignore[arg-type]
        memory.rows.data = rows
        torch.testing.assert_close(memory(asked)[1][0], torch.tensor(likeness).softmax(0))
        memory.sharpness = 3.0
        torch.testing.assert_close(memory(asked)[1][0], (3.0 * torch.tensor(likeness)).softmax(0))


def test_a_code_far_along_a_row_comes_back_as_that_row() -> None:
    memory = Memory(2, 2, shrink=0.0025)
    memory.rows.data = torch.eye(2)
    answer, weights = memory(torch.tensor([[50.0, 0.0]]))
    assert torch.equal(weights, torch.tensor([[1.0, 0.0]]))
    assert torch.equal(answer, torch.tensor([[1.0, 0.0]]))


@pytest.mark.parametrize("bottleneck", ["dense", "spatial"])
def test_loss_is_error_and_entropy(bottleneck: str) -> None:
    method = tiny("mem-ae", bottleneck=bottleneck, sparsity=0.5)
    network = built(method).eval()
    batch = blob_batch(4)
    context = StepContext(generator=torch.Generator().manual_seed(0), progress=0.0, step=0)
    named = method.stages()[0].phases[0].loss(network, batch, context)
    drawn, _, weights = network(batch.images)
    error = (drawn - batch.images).square()[batch.roi].mean()
    spread = -(weights * (weights + 1e-12).log()).sum(1).mean()
    torch.testing.assert_close(named["loss"], error + 0.5 * spread)


@pytest.mark.parametrize(("channels", "dims"), [(1, 2), (3, 2), (2, 3)])
def test_spatial_memory_learns_and_answers_at_every_point(channels: int, dims: int) -> None:
    size = 32 if dims == 2 else 16
    method = tiny("mem-ae", bottleneck="spatial", rows=40, channels=channels, dims=dims, size=size)
    network: Any = built(method)
    batch = blob_batch(16, channels=channels, dims=dims, size=size)
    losses = train(method, network, batch, steps=40)["train.reconstruct"]
    assert losses[-1] < 0.5 * losses[0]
    weights = network(batch.images)[2]
    assert weights.shape == (16, 40, *[size // 8] * dims)
    torch.testing.assert_close(weights.sum(1), torch.ones(16, *[size // 8] * dims))
    assert not method.explain(network, batch).latent


def test_dense_evidence() -> None:
    method = tiny("mem-ae")
    network = built(method)
    batch = blob_batch(4)
    found = method.explain(network, batch)
    assert found.healthy is not None
    assert found.latent["code"].shape == (4, 8) and found.latent["weights"].shape == (4, 25)
    torch.testing.assert_close(found.maps["squared"], (found.healthy - batch.images).square().mean(1))


def test_published_sizes() -> None:
    method = get_method("mem-ae")
    with torch.device("meta"):
        small: Any = method(method.config_for("cpu"), InputSpec(size=64)).build()
        paper: Any = method(method.config_for("paper"), InputSpec(size=128)).build()
    assert small.memory.rows.shape == (25, 16)
    # From 4 x 4 points of 64 channels to 1024 numbers to 16.
    assert [m.out_features for m in small.encoder.modules() if isinstance(m, torch.nn.Linear)] == [1024, 16]
    assert paper.memory.rows.shape == (2000, 256)


def test_single_images_are_refused_where_a_batch_is_normalised() -> None:
    def early(bottleneck: str, batch: int) -> None:
        method = tiny("mem-ae", size=32, bottleneck=bottleneck)
        refuse_early(method, None, "residual", batch=batch, recontrast=0.0, resume=False)

    with pytest.raises(BadInput, match=r"training\.batch=1"):
        early("dense", 1)
    early("dense", 2)
    early("spatial", 1)
