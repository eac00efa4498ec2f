"""Orders of tokens, a causal transformer over them, and running quantiles."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from unlesion.networks.autoregressive import CausalTransformer
from unlesion.networks.running_quantile import RunningQuantile
from unlesion.networks.token_orders import token_orders

# Where the histogram begins: all below counts as this.
LOWEST = -20.0


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_tokens(number: int, *, codes: int = 5, length: int = 16, seed: int = 0) -> Tensor:
    return torch.randint(codes, (number, length), generator=generator(seed))


@pytest.mark.parametrize(("grid", "dims", "number"), [(4, 2, 8), (3, 3, 48), (2, 2, 1)])
def test_orders_are_different_permutations(grid: int, dims: int, number: int) -> None:
    orders = token_orders(grid, dims=dims, number=number)
    assert orders.shape == (number, grid**dims)
    assert torch.equal(orders.sort(1).values, torch.arange(grid**dims).expand(number, -1))
    assert torch.equal(orders[0], torch.arange(grid**dims))
    assert len({tuple(order) for order in orders.tolist()}) == number


def test_the_first_orders_are_rows_columns_and_their_reversals() -> None:
    orders = token_orders(2, dims=2, number=4).tolist()
    assert orders == [[0, 1, 2, 3], [3, 2, 1, 0], [0, 2, 1, 3], [3, 1, 2, 0]]
    with pytest.raises(ValueError, match="1 to 8 orders"):
        token_orders(2, dims=2, number=9)


def test_no_logit_knows_of_later_tokens() -> None:
    torch.manual_seed(0)
    transformer = CausalTransformer(6, 12, width=8, depth=2, heads=2)
    tokens = random_tokens(2, length=12)
    before = transformer(tokens)
    for place in (3, 7, 11):
        changed = tokens.clone()
        changed[:, place] = (changed[:, place] + 1) % 5
        after = transformer(changed)
        torch.testing.assert_close(after[:, :place], before[:, :place], rtol=0, atol=1e-6)
        assert (after[:, place:] - before[:, place:]).abs().amax((1, 2)).min() > 1e-4


def test_token_by_token_is_the_same_as_all_at_once() -> None:
    torch.manual_seed(0)
    transformer = CausalTransformer(6, 12, width=8, depth=3, heads=4)
    tokens = random_tokens(3, length=12)
    memory = transformer.begin(3)
    with torch.no_grad():
        stepped = torch.stack([transformer.step(column, memory) for column in tokens.unbind(1)], 1)
        torch.testing.assert_close(stepped, transformer(tokens), rtol=1e-4, atol=1e-5)


def test_running_quantile() -> None:
    running = RunningQuantile(LOWEST, 0.0)
    assert float(running.read(0.1)) == LOWEST
    for seed in range(20):
        running.add(-10.0 * torch.rand(5000, generator=generator(seed)))
    for share in (0.01, 0.1, 0.5):
        assert float(running.read(share)) == pytest.approx(-10.0 * (1 - share), abs=0.05)
    running.add(torch.tensor([-math.inf]))
    assert running.read(0.5).isfinite()


def test_running_quantile_forgets() -> None:
    running = RunningQuantile(LOWEST, 0.0, decay=0.5)
    for value in (-15.0, -5.0):
        for _ in range(10):
            running.add(torch.full((100,), value))
    assert float(running.read(0.5)) == pytest.approx(-5.0, abs=0.02)
