"""Decoder-only transformer: each token's probability given those before it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass
class Memory:
    """Keys and values of the tokens so far, so that a next token costs one token and not all.

    Attributes:
        keys: (depth, B, heads, length, width / heads).
        values: the same.
        count: tokens so far.
    """

    keys: Tensor
    values: Tensor
    count: int = 0


class CausalBlock(nn.Module):
    """Attention to earlier tokens, then two dense layers, each normalised before and added.

    Args:
        width: numbers per token.
        heads: of the attention.
    """

    def __init__(self, width: int, *, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1 = nn.LayerNorm(width)
        self.to_qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width)
        self.norm_2 = nn.LayerNorm(width)
        self.dense = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, states: Tensor) -> Tensor:
        """(B, length, width) to the same; no place knows of later ones."""
        query, key, value = self._split(states)
        seen = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self._join(states, seen)

    def step(self, states: Tensor, keys: Tensor, values: Tensor, count: int) -> Tensor:
        """One more token: (B, 1, width) to the same; its key and value are written at `count`."""
        query, key, value = self._split(states)
        keys[:, :, count : count + 1] = key
        values[:, :, count : count + 1] = value
        seen = nn.functional.scaled_dot_product_attention(
            query, keys[:, :, : count + 1], values[:, :, : count + 1]
        )
        return self._join(states, seen)

    def _split(self, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        packed: Tensor = self.to_qkv(self.norm_1(states)).unflatten(-1, (3, self.heads, -1))
        query, key, value = packed.permute(2, 0, 3, 1, 4).unbind(0)
        return query, key, value

    def _join(self, states: Tensor, seen: Tensor) -> Tensor:
        states = states + self.out(seen.transpose(1, 2).flatten(2))
        result: Tensor = states + self.dense(self.norm_2(states))
        return result


class CausalTransformer(nn.Module):
    """Tokens to logits of each next token.

    Args:
        vocabulary: number of different tokens, that of the beginning included.
        length: of a sequence.
        width: numbers per token.
        depth: number of blocks.
        heads: of the attention.
    """

    def __init__(self, vocabulary: int, length: int, *, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.places = nn.Embedding(length, width)
        self.blocks = nn.ModuleList(CausalBlock(width, heads=heads) for _ in range(depth))
        self.logits = nn.Linear(width, vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, n) to logits (B, n, vocabulary) float32; those at i know tokens up to i."""
        states = self.tokens(tokens) + self.places.weight[: tokens.shape[1]]
        for block in self.blocks:
            states = block(states)
        result: Tensor = self.logits(states).float()
        return result

    def begin(self, number: int) -> Memory:
        """Memory for `number` sequences."""
        block: CausalBlock = self.blocks[0]  # type: ignore[assignment]
        length, width = self.places.weight.shape
        shape = (len(self.blocks), number, block.heads, length, width // block.heads)
        empty = torch.zeros(shape, device=self.places.weight.device)
        return Memory(keys=empty, values=empty.clone())

    @torch.no_grad()
    def step(self, tokens: Tensor, memory: Memory) -> Tensor:
        """One more token of each sequence, (B,), to logits of the next, (B, vocabulary); fills the memory."""
        states = (self.tokens(tokens) + self.places.weight[memory.count])[:, None]
        for level, block in enumerate(self.blocks):
            states = block.step(states, memory.keys[level], memory.values[level], memory.count)  # type: ignore[operator]
        memory.count += 1
        result: Tensor = self.logits(states[:, 0]).float()
        return result
