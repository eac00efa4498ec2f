"""A variational network that also looks at what it drew itself."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unlesion.methods.variational.network import divergence
from unlesion.networks.condition import Conditionable, with_numbers, with_planes
from unlesion.networks.residual import ResidualDecoder, ResidualEncoder, Taps


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """What the encoder says about images.

    Attributes:
        mean: of the code, (B, latent) float32.
        log_sigma: log standard deviation of the code, (B, latent) float32.
        taps: features after each level, finest first.
    """

    mean: Tensor
    log_sigma: Tensor
    taps: Taps

    def draw(self, noise: Tensor) -> Tensor:
        """A code of the distribution, (B, latent), from standard normal noise of that shape."""
        return self.mean + noise * self.log_sigma.exp()

    def divergence(self) -> Tensor:
        """From the standard normal distribution, in nats: (B,)."""
        return divergence(self.mean, self.log_sigma)


class IntrospectiveNetwork(Conditionable):
    """Encoder and decoder, which may be told the modality.

    Args:
        encoder: tells codes and features.
        decoder: draws from codes.
        log_variance_limit: log variances are kept within plus and minus this.
        passes: two halves of a batch go through the network one after the other where batch statistics
            would mix them (2), together where nothing does (1).
    """

    def __init__(
        self, encoder: ResidualEncoder, decoder: ResidualDecoder, *, log_variance_limit: float, passes: int
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.log_variance_limit = log_variance_limit
        self.passes = passes

    def encode(self, images: Tensor) -> Seen:
        """Look at images (B, C, ...)."""
        mean, log_variance, taps = self.encoder(with_planes(images, self.condition))
        limit = self.log_variance_limit
        return Seen(mean=mean.float(), log_sigma=0.5 * log_variance.float().clamp(-limit, limit), taps=taps)

    def taps(self, images: Tensor) -> Taps:
        """The encoder's features of images (B, C, ...) after each level, finest first."""
        return self.encoder.taps(with_planes(images, self.condition))

    def decode(self, codes: Tensor) -> Tensor:
        """Draw from codes (B, latent): (B, C, ...)."""
        drawn: Tensor = self.decoder(with_numbers(codes, self.condition))
        return drawn

    def encode_both(self, images: Tensor) -> Seen:
        """Look at a batch whose halves are of different kinds."""
        if self.passes == 1:
            return self.encode(images)
        halves = [self.encode(half) for half in images.chunk(2)]
        return Seen(
            mean=torch.cat([half.mean for half in halves]),
            log_sigma=torch.cat([half.log_sigma for half in halves]),
            taps=tuple(torch.cat(pair) for pair in zip(*(half.taps for half in halves), strict=True)),
        )

    def decode_both(self, codes: Tensor) -> Tensor:
        """Draw from a batch of codes whose halves are of different kinds: (B, C, ...)."""
        if self.passes == 1:
            return self.decode(codes)
        return torch.cat([self.decode(half) for half in codes.chunk(2)])

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, ...) to the reconstruction from the mean code."""
        return self.decode(self.encode(images).mean)
