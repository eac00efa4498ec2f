"""A codebook: features become the nearest of a few learnt vectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Codebook(nn.Module):
    """K vectors, each the moving mean of the features that were nearest to it.

    The vectors are a parameter, though no gradient reaches them: so that they are averaged over the steps just as the
    weights of the encoder are, whose averages they have to fit. The moving sums are those of the last step;
    nothing but the next step needs them.

    Args:
        codes: number of vectors, K.
        width: numbers in a vector, D.
        decay: of the moving sums.
        epsilon: added to the moving counts, so that a code without features stays finite.
    """

    counts: Tensor
    sums: Tensor

    def __init__(self, codes: int, width: int, *, decay: float, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.decay = decay
        self.epsilon = epsilon
        self.vectors = nn.Parameter(torch.randn(codes, width), requires_grad=False)
        self.register_buffer("counts", torch.zeros(codes))
        self.register_buffer("sums", torch.zeros(codes, width))

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, D, ...) to the numbers of the nearest vectors, (B, ...) int64."""
        rows = as_rows(features)
        tokens = self._squared_distances(rows).argmin(1)
        return tokens.reshape(len(features), *features.shape[2:])

    def lookup(self, tokens: Tensor) -> Tensor:
        """Numbers of vectors (B, ...) to the vectors, (B, D, ...) float32."""
        return self.vectors.detach()[tokens].movedim(-1, 1)

    @property
    def started(self) -> bool:
        """Whether the vectors mean something: they have been put on features."""
        return float(self.counts.sum()) > 0

    @torch.no_grad()
    def start(self, features: Tensor, *, generator: torch.Generator) -> None:
        """Put all vectors on features (B, D, ...), each far from those already chosen."""
        self._start(torch.ones_like(self.counts, dtype=torch.bool), as_rows(features), generator)

    @torch.no_grad()
    def learn(
        self, features: Tensor, tokens: Tensor, *, generator: torch.Generator, revive: float = 0.0
    ) -> None:
        """Move the vectors towards the features that chose them.

        Args:
            features: (B, D, ...) of one training batch.
            tokens: (B, ...) what the features chose.
            generator: decides which features start a vector.
            revive: a vector chosen less often than this part of its fair share (1/K) starts anew, on a feature far
                from the other vectors; 0 never.
        """
        rows, chosen = as_rows(features), tokens.flatten()
        codes = len(self.vectors)
        # One product with a one-hot matrix adds in a fixed order on every device; scattered sums do not.
        one_hot = nn.functional.one_hot(chosen, codes).to(rows.dtype)
        self.counts.lerp_(one_hot.sum(0), 1.0 - self.decay)
        with torch.autocast(rows.device.type, enabled=False):
            self.sums.lerp_(one_hot.T @ rows, 1.0 - self.decay)
        total = self.counts.sum()
        weights = (self.counts + self.epsilon) / (total + codes * self.epsilon) * total
        self.vectors.copy_(self.sums / weights[:, None])
        idle = self.counts < revive * total / codes
        if revive and bool(idle.any()):
            self._start(idle, rows, generator)

    def _start(self, which: Tensor, rows: Tensor, generator: torch.Generator) -> None:
        """Put some vectors on features, likelier on those that all other vectors are far from."""
        # Drawn on the processor, so that one seed gives the same start wherever the network is.
        points = rows.cpu()
        kept = self.vectors[~which].cpu()
        far = torch.full((len(points),), torch.inf)
        if len(kept):
            far = torch.cdist(points, kept).square().amin(1)
        mean_count = self.counts.mean().clamp(min=self.epsilon)
        for code in which.nonzero().flatten().tolist():
            odds = torch.where(far.isfinite(), far, torch.ones_like(far)) + 1e-12
            point = points[int(torch.multinomial(odds, 1, generator=generator))]
            far = torch.minimum(far, (points - point).square().sum(1))
            self.vectors[code] = point.to(self.vectors.device)
            self.counts[code] = mean_count
            self.sums[code] = self.vectors[code] * mean_count

    def _squared_distances(self, rows: Tensor) -> Tensor:
        """(n, D) to (n, K), less what is the same for all vectors."""
        with torch.autocast(rows.device.type, enabled=False):
            vectors = self.vectors.detach()
            return vectors.square().sum(1) - 2.0 * rows @ vectors.T


def as_rows(features: Tensor) -> Tensor:
    """(B, D, ...) to (n, D) float32, one row per place."""
    return features.float().movedim(1, -1).flatten(0, -2)


def straight_through(features: Tensor, quantised: Tensor) -> Tensor:
    """The quantised features forwards; backwards their gradient goes to the features unchanged."""
    return features + (quantised - features).detach()
