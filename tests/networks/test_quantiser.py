"""The codebook: nearest vectors, straight gradients, moving means."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from unlesion.networks.quantiser import Codebook, as_rows, straight_through


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=generator(seed))


@pytest.mark.parametrize("shape", [(3, 6, 4, 5), (2, 6, 3, 2, 4)])
def test_the_nearest_vector_is_chosen(shape: tuple[int, ...]) -> None:
    codebook = Codebook(7, 6, decay=0.9)
    features = random(*shape)
    tokens = codebook(features)
    assert tokens.shape == (shape[0], *shape[2:])
    quantised = codebook.lookup(tokens)
    assert quantised.shape == shape
    for row, token, drawn in zip(
        as_rows(features).tolist(), tokens.flatten().tolist(), as_rows(quantised), strict=True
    ):
        distances = [math.dist(row, vector) for vector in codebook.vectors.tolist()]
        assert distances.index(min(distances)) == token
        assert torch.equal(drawn, codebook.vectors[token])


def test_gradients_go_straight_through() -> None:
    features = random(2, 6, 3, 3).requires_grad_()
    codebook = Codebook(4, 6, decay=0.9)
    quantised = codebook.lookup(codebook(features))
    passed = straight_through(features, quantised)
    torch.testing.assert_close(passed, quantised)
    weights = random(2, 6, 3, 3, seed=1)
    (passed * weights).sum().backward()
    assert features.grad is not None
    assert torch.equal(features.grad, weights)
    assert codebook.vectors.grad is None


def test_vectors_become_the_moving_means_of_what_chose_them() -> None:
    codebook = Codebook(2, 1, decay=0.75)
    codebook.vectors.copy_(torch.tensor([[0.0], [10.0]]))
    codebook.counts.copy_(torch.tensor([4.0, 4.0]))
    codebook.sums.copy_(torch.tensor([[0.0], [40.0]]))
    features = torch.tensor([1.0, 3.0, 12.0]).reshape(1, 1, 3)
    codebook.learn(features, codebook(features), generator=generator())
    # 3/4 · 4 + 1/4 · 2 features of sum 4; 3/4 · 4 + 1/4 features of sum 12.
    assert codebook.counts.tolist() == pytest.approx([3.5, 3.25])
    assert codebook.vectors.flatten().tolist() == pytest.approx([1.0 / 3.5, 33.0 / 3.25], rel=1e-4)


def test_the_codebook_starts_far_apart_and_idle_vectors_start_anew() -> None:
    centres = torch.tensor([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0], [9.0, 9.0]])
    features = (centres.repeat(20, 1) + 0.01 * random(80, 2)).T[None]
    codebook = Codebook(4, 2, decay=0.5)
    assert not codebook.started
    codebook.start(features, generator=generator())
    assert codebook.started
    # Each vector is a feature already, before anything has been averaged.
    assert torch.cdist(codebook.vectors, as_rows(features)).amin(1).max() < 1e-2
    codebook.learn(features, codebook(features), generator=generator())
    assert sorted(codebook(features).flatten().bincount(minlength=4).tolist()) == [20] * 4
    with torch.no_grad():
        codebook.vectors[2] = 100.0
        codebook.sums[2] = 100.0 * codebook.counts[2]
    for _ in range(8):
        codebook.learn(features, codebook(features), generator=generator())
    assert codebook(features).unique().numel() == 3
    codebook.learn(features, codebook(features), generator=generator(), revive=0.1)
    assert codebook(features).unique().numel() == 4
