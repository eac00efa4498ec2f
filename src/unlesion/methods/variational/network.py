"""A network whose code is a normal distribution."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unlesion.networks.condition import Conditionable, with_numbers, with_planes

# Beyond these the exponential overflows or underflows in training's first steps.
LOG_SIGMA_RANGE = (-8.0, 8.0)


class VariationalNetwork(Conditionable):
    """Encoder to mean and log standard deviation, decoder from a code; both may be told the modality.

    Args:
        encoder: (B, C + K, ...) to a pair of (B, latent), with K planes that tell the modality.
        decoder: (B, latent + K) to (B, C, ...).
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation of the code, each (B, latent) float32."""
        mean, log_sigma = self.encoder(with_planes(images, self.condition))
        return mean.float(), log_sigma.float().clamp(*LOG_SIGMA_RANGE)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, latent) to images (B, C, ...)."""
        result: Tensor = self.decoder(with_numbers(codes, self.condition))
        return result

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, ...) to the reconstruction from the mean code."""
        mean, _ = self.encode(images)
        return self.decode(mean)


def divergence(mean: Tensor, log_sigma: Tensor) -> Tensor:
    """Kullback-Leibler divergence of N(mean, sigma²) from N(0, 1), summed over the code: (B,), in nats.

    KL = 1/2 · sum(mean² + sigma² - log sigma² - 1).
    """
    return 0.5 * (mean.square() + torch.exp(2.0 * log_sigma) - 2.0 * log_sigma - 1.0).sum(1)
