"""A network whose code is a normal distribution."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Beyond these the exponential overflows or underflows in training's first steps.
LOG_SIGMA_RANGE = (-8.0, 8.0)


class VariationalNetwork(nn.Module):
    """Encoder to mean and log standard deviation, decoder from a code.

    Args:
        encoder: (B, C, ...) to a pair of (B, latent).
        decoder: (B, latent) to (B, C, ...).
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation of the code, each (B, latent) float32."""
        mean, log_sigma = self.encoder(images)
        return mean.float(), log_sigma.float().clamp(*LOG_SIGMA_RANGE)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, ...) to the reconstruction from the mean code."""
        mean, _ = self.encode(images)
        result: Tensor = self.decoder(mean)
        return result


def divergence(mean: Tensor, log_sigma: Tensor) -> Tensor:
    """Kullback-Leibler divergence of N(mean, sigma²) from N(0, 1), summed over the code: (B,), in nats.

    KL = 1/2 · sum(mean² + sigma² - log sigma² - 1).
    """
    return 0.5 * (mean.square() + torch.exp(2.0 * log_sigma) - 2.0 * log_sigma - 1.0).sum(1)
