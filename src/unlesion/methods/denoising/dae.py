"""Denoising autoencoder: trained to remove coarse noise, it removes lesions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from unlesion.methods.base import Phase, Stage, StepContext
from unlesion.methods.batch import Batch, Evidence
from unlesion.methods.conditioned import ConditionedConfig, ConditionedMethod
from unlesion.methods.sizes import coarsest_grid
from unlesion.networks.coarse_noise import coarse_noise
from unlesion.networks.condition import Conditionable, with_planes
from unlesion.networks.denoising_unet import DenoisingUNet
from unlesion.networks.modes import asking
from unlesion.networks.roi import roi_mean


class DenoisingConfig(ConditionedConfig):
    """Settings of `DenoisingAutoEncoder`; the defaults are the paper's.

    Attributes:
        widths: channels of the U-Net's levels.
        sigma: standard deviation of the noise at its grid points, in grey values.
        cell: pixels per cell of the noise grid.
        first: "plain" leaves the first kernels as they are; "standardised" is the paper's, blind to
            absolute grey in a single channel; "auto" is plain for one channel.
        learning_rate: of Adam (AMSGrad).
        weight_decay: of Adam.
        half_cycles: how often the learning rate goes down or up its cosine in a training; odd numbers
            end at 0, and 1 is the plain cosine.
        clip_norm: largest norm of the gradient.
    """

    widths: tuple[int, ...] = Field((64, 128, 256, 512), min_length=2)
    sigma: float = Field(0.2, ge=0)
    cell: float = Field(8.0, ge=1)
    first: Literal["auto", "plain", "standardised"] = "auto"
    learning_rate: float = Field(1e-4, gt=0)
    weight_decay: float = Field(1e-5, ge=0)
    half_cycles: int = Field(1, ge=1)
    clip_norm: float = Field(0.5, gt=0)


class DenoisingNetwork(Conditionable):
    """Holds the U-Net, whose further planes tell the modality."""

    def __init__(self, unet: DenoisingUNet) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, ...) to the same without what does not belong."""
        result: Tensor = self.unet(with_planes(images, self.condition))
        return result


def oscillating_cosine(progress: float, *, half_cycles: int) -> float:
    """The factor on the learning rate: a cosine between 1 and 0 that goes on after its first low."""
    return 0.5 * (1.0 + math.cos(math.pi * half_cycles * min(max(progress, 0.0), 1.0)))


class DenoisingAutoEncoder(ConditionedMethod):
    """Kascenas' U-Net, trained to take coarse noise off healthy images; shown a scan without added noise."""

    name = "dae"
    family = "denoising"
    title = "Denoising autoencoder with coarse noise"
    citation = (
        "Kascenas, Pugeault, O'Neil. Denoising Autoencoders for Unsupervised Anomaly Detection in Brain MRI. "
        "MIDL 2022; Medical Image Analysis 2023."
    )
    deviations = (
        "With one channel the first convolution is plain: a standardised one cannot see absolute grey.",
        "The loss is averaged over the roi, the paper's over all pixels, masked: a scale, which weight decay and the clipped gradient see.",
        "Images are clipped at 1.5 by the recipe; the paper does not clip.",
        "The published median filter is post-processing here, common to all methods, in mm; the published erosion of the roi is, too, but off by default (`scoring.erode_mm`). The grain of the noise is 8 pixels in all presets, as published at 128 pixels: beside the head it is twice as coarse at 64.",
        "Training length comes from the budget; only the paper preset oscillates its learning rate.",
        "The weights kept are averaged ones; learning rates rise over the first 25 steps, here as in all methods.",
        "The tiny, cpu and gpu presets have fewer channels and a higher learning rate.",
        "`condition=true`, off by default, tells the network the modality of every image; the published ones are not told.",
    )
    presets = {
        "tiny": {"image_size": 32, "batch": 16, "widths": (8, 16, 32), "learning_rate": 3e-3},
        "cpu": {"image_size": 64, "batch": 16, "widths": (24, 48, 96), "learning_rate": 3e-3},
        "gpu": {"image_size": 128, "batch": 32, "widths": (32, 64, 128, 256), "learning_rate": 5e-4},
        "paper": {"image_size": 128, "batch": 16, "half_cycles": 21},
    }
    native = {"rule": "residual"}
    Config = DenoisingConfig
    config: DenoisingConfig

    def build(self) -> nn.Module:
        """One part, `unet`."""
        config, spec = self.config, self.spec
        coarsest_grid(spec, len(config.widths) - 1, method=self.name)
        plain = config.first == "plain" or (config.first == "auto" and spec.channels == 1)
        return DenoisingNetwork(
            DenoisingUNet(
                spec.channels,
                widths=config.widths,
                dims=spec.dims,
                plain_first=plain,
                extra=len(self.conditions),
            )
        )

    def stages(self) -> list[Stage]:
        """One stage."""
        config = self.config
        optimizer = partial(
            torch.optim.Adam, lr=config.learning_rate, weight_decay=config.weight_decay, amsgrad=True
        )
        phase = Phase(
            name="denoise", parts=("unet",), loss=self._loss, optimizer=optimizer, clip_norm=config.clip_norm
        )
        schedule = partial(oscillating_cosine, half_cycles=config.half_cycles)
        return [Stage(name="train", phases=(phase,), schedule=schedule)]

    def _loss(self, network: nn.Module, batch: Batch, context: StepContext) -> Mapping[str, Tensor]:
        images = batch.images * batch.roi
        noise = coarse_noise(
            images, batch.roi, sigma=self.config.sigma, cell=self.config.cell, generator=context.generator
        )
        drawn = self.told(network, batch)(images + noise)
        return {"loss": roi_mean((drawn.float() - images).square(), batch.roi)}

    def explain(self, network: nn.Module, batch: Batch) -> Evidence:
        """What the network makes of the images as they are."""
        with asking(network):
            drawn = self.told(network, batch)(batch.images * batch.roi).float()
        return Evidence(healthy=drawn * batch.roi)
