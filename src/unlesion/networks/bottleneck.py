"""From a grid of features to a short code, and back."""

from __future__ import annotations

from torch import Tensor, nn

from unlesion.networks.layers import layer


class DenseCode(nn.Module):
    """Features on a grid to one or more vectors: 1-wide convolution, flattened, one linear head each.

    Args:
        width: channels of the features.
        reduced: channels after the 1-wide convolution.
        grid: points along a side.
        latent: numbers in a code.
        heads: how many codes (2 for a mean and a log standard deviation).
        dims: 2 or 3.
        dropout: share of the code's entries dropped in training.
    """

    def __init__(
        self,
        width: int,
        *,
        reduced: int,
        grid: int,
        latent: int,
        heads: int = 1,
        dims: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.reduce = layer("Conv", dims)(width, reduced, 1)
        self.heads = nn.ModuleList(nn.Linear(reduced * grid**dims, latent) for _ in range(heads))
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        """(B, width, grid, ...) to one (B, latent) per head."""
        flat = self.reduce(features).flatten(1)
        return tuple(self.dropout(head(flat)) for head in self.heads)


class DenseExpansion(nn.Module):
    """The way back from a code to features on a grid; arguments as in `DenseCode`."""

    def __init__(
        self, width: int, *, reduced: int, grid: int, latent: int, dims: int = 2, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.shape = (reduced, *[grid] * dims)
        self.expand = nn.Linear(latent, reduced * grid**dims)
        self.dropout = nn.Dropout(dropout)
        self.widen = layer("Conv", dims)(reduced, width, 1)

    def forward(self, code: Tensor) -> Tensor:
        """(B, latent) to (B, width, grid, ...)."""
        result: Tensor = self.widen(self.dropout(self.expand(code)).unflatten(1, self.shape))
        return result
