"""One-hot maps with a gradient: what they are exactly, and what their gradient is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from unlesion.networks.one_hot import differentiable_one_hot, with_background


def logits_of(*shape: int, seed: int = 0, scale: float = 3.0) -> Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("operator", ["straight", "gumbel"])
@pytest.mark.parametrize("shape", [(3, 5, 8, 8), (2, 4, 4, 4, 4)])
def test_values_are_exactly_one_hot(operator: str, shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(1)
    y = differentiable_one_hot(logits_of(*shape), operator=operator, generator=generator)  # type: ignore[arg-type]
    assert torch.equal(y.sum(1), torch.ones(shape[0], *shape[2:]))
    assert set(y.unique().tolist()) == {0.0, 1.0}


def test_the_highest_logit_wins_and_a_constant_changes_nothing() -> None:
    logits = logits_of(2, 6, 8, 8).round(decimals=2)
    y = differentiable_one_hot(logits)
    assert torch.equal(y.argmax(1), logits.argmax(1))
    assert torch.equal(y, differentiable_one_hot(logits + 4.0))


def test_of_equal_logits_one_wins() -> None:
    y = differentiable_one_hot(torch.zeros(1, 4, 3, 3))
    assert torch.equal(y.sum(1), torch.ones(1, 3, 3))
    assert (y[:, 0] == 1).all()


@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_the_gradient_is_that_of_the_softmax(temperature: float) -> None:
    logits = logits_of(2, 5, 4, 4).requires_grad_()
    weights = logits_of(2, 5, 4, 4, seed=1)
    (weights * differentiable_one_hot(logits, temperature=temperature)).sum().backward()
    s = (logits.detach() / temperature).softmax(1)
    expected = s * (weights - (weights * s).sum(1, keepdim=True)) / temperature
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, expected, rtol=1e-4, atol=2e-6)
    # The same by automatic differentiation of the softmax itself.
    again = logits.detach().clone().requires_grad_()
    (weights * (again / temperature).softmax(1)).sum().backward()
    torch.testing.assert_close(logits.grad, again.grad, rtol=1e-4, atol=2e-6)


def test_gradients_of_large_logits_are_finite_and_not_lost() -> None:
    logits = torch.tensor([20.0, -20.0, 0.0]).reshape(1, 3, 1, 1).requires_grad_()
    y = differentiable_one_hot(logits)
    (torch.tensor([1.0, 2.0, -1.0]).reshape(1, 3, 1, 1) * y).sum().backward()
    assert logits.grad is not None and logits.grad.isfinite().all()
    assert (logits.grad[:, 1:] != 0).all()


def test_rounding_may_be_empty_and_has_the_gradient_of_the_softmax() -> None:
    logits = torch.tensor([[0.0, 0.0, 0.0], [4.0, 0.0, 0.0]]).reshape(2, 3, 1, 1).requires_grad_()
    y = differentiable_one_hot(logits, operator="rounding")
    assert y.sum(1).flatten().tolist() == [0.0, 1.0]
    weights = torch.tensor([1.0, -1.0, 0.5]).reshape(1, 3, 1, 1)
    (weights * y).sum().backward()
    s = logits.detach().softmax(1)
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, s * (weights - (weights * s).sum(1, keepdim=True)))


def test_gumbel_draws_classes_as_often_as_the_softmax_says() -> None:
    logits = torch.tensor([1.0, 0.0, -1.0]).reshape(1, 3, 1, 1).expand(1, 3, 200, 200)
    y = differentiable_one_hot(logits, operator="gumbel", generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(y.mean((0, 2, 3)), logits[0, :, 0, 0].softmax(0), rtol=0, atol=0.015)
    # Without a generator nothing is drawn.
    assert torch.equal(
        differentiable_one_hot(logits, operator="gumbel"), differentiable_one_hot(logits, operator="straight")
    )


def test_softmax_is_none() -> None:
    logits = logits_of(1, 3, 4, 4)
    y = differentiable_one_hot(logits, operator="softmax", temperature=0.5)
    torch.testing.assert_close(y, (logits / 0.5).softmax(1))


def test_outside_the_roi_is_background() -> None:
    roi = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    roi[..., 1:3, 1:3] = True
    y = with_background(differentiable_one_hot(logits_of(1, 3, 4, 4)), roi)
    assert y.shape == (1, 4, 4, 4)
    assert torch.equal(y.sum(1), torch.ones(1, 4, 4))
    assert torch.equal(y[:, :1] == 1, ~roi)
