"""Settings that the autoencoders on strided convolutions share."""

from __future__ import annotations

from pydantic import Field

from unlesion.methods.base import MethodConfig


class BackboneConfig(MethodConfig):
    """Encoder, decoder and optimiser; the defaults are those of Baur et al. at 128 pixels.

    Attributes:
        widths: channels after each convolution of stride 2.
        kernel: width of the convolutions in pixels.
        reduced: channels kept when the coarsest grid is flattened for a dense bottleneck.
        latent: numbers in the code.
        dropout: share of bottleneck entries dropped in training.
        learning_rate: of Adam.
        momentum: Adam's first beta.
    """

    widths: tuple[int, ...] = Field((32, 64, 128, 128), min_length=2)
    kernel: int = Field(5, ge=4, le=5)
    reduced: int = Field(16, ge=1)
    latent: int = Field(128, ge=1)
    dropout: float = Field(0.2, ge=0, lt=1)
    learning_rate: float = Field(1e-4, gt=0)
    momentum: float = Field(0.5, ge=0, lt=1)
