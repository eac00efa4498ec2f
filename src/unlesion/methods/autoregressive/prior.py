"""How likely the tokens of healthy images are, and what should stand where one is not."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unlesion.networks.autoregressive import CausalTransformer
from unlesion.networks.running_quantile import RunningQuantile
from unlesion.networks.token_orders import token_orders

# Log probabilities below are all the same: less than one in a hundred million.
LOWEST = -20.0


class TokenPrior(nn.Module):
    """One transformer for each order in which the grid of tokens is walked.

    Args:
        codes: different tokens, K; K itself stands for the beginning.
        grid: tokens a side.
        dims: 2 or 3.
        orders: number of orders, so of transformers.
        width: of the transformers.
        depth: of the transformers.
        heads: of the transformers.
    """

    orders: Tensor
    ranks: Tensor

    def __init__(
        self, codes: int, grid: int, *, dims: int, orders: int, width: int, depth: int, heads: int
    ) -> None:
        super().__init__()
        self.codes = codes
        length = grid**dims
        self.transformers = nn.ModuleList(
            CausalTransformer(codes + 1, length, width=width, depth=depth, heads=heads) for _ in range(orders)
        )
        self.quantile = RunningQuantile(LOWEST, 0.0)
        walks = token_orders(grid, dims=dims, number=orders)
        self.register_buffer("orders", walks)
        self.register_buffer("ranks", walks.argsort(1))

    def forward(self, tokens: Tensor) -> Tensor:
        """Log probability of every token given those before it, in each order.

        Args:
            tokens: (B, L) int64, row by row.

        Returns:
            (B, orders, L) float32, row by row whatever the order.
        """
        return torch.stack([self.log_probabilities(tokens, k) for k in range(len(self.transformers))], 1)

    def log_probabilities(self, tokens: Tensor, order: int) -> Tensor:
        """Those of one order: (B, L) to (B, L)."""
        walked = tokens[:, self.orders[order]]
        before = torch.cat([torch.full_like(walked[:, :1], self.codes), walked[:, :-1]], 1)
        logits: Tensor = self.transformers[order](before)
        found = logits.log_softmax(-1).gather(-1, walked[..., None])[..., 0]
        return found[:, self.ranks[order]]

    def heal(self, tokens: Tensor, flagged: Tensor, order: int, draws: Tensor | None) -> Tensor:
        """Walk the grid and put a likely token, given the healed ones before, wherever one is flagged.

        Args:
            tokens: (B, L) int64, row by row.
            flagged: (B, L) bool; all other tokens are kept.
            order: which order to walk in.
            draws: (B, L) uniform numbers in [0, 1), with which tokens are drawn; None takes the likeliest.

        Returns:
            (B, L) int64, row by row.
        """
        transformer: CausalTransformer = self.transformers[order]  # type: ignore[assignment]
        memory = transformer.begin(len(tokens))
        healed = tokens.clone()
        last = torch.full_like(tokens[:, 0], self.codes)
        for place in self.orders[order].tolist():
            # The beginning is no token that an image could have.
            logits = transformer.step(last, memory)[:, : self.codes]
            if draws is None:
                wanted = logits.argmax(-1)
            else:
                reached = logits.softmax(-1).cumsum(-1)
                wanted = (reached <= draws[:, place, None] * reached[:, -1:]).sum(-1)
                wanted = wanted.clamp(max=self.codes - 1)
            last = torch.where(flagged[:, place], wanted, tokens[:, place])
            healed[:, place] = last
        return healed
