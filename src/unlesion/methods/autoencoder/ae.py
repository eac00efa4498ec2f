"""Autoencoders: what does not fit through the bottleneck is not drawn again."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from unlesion.methods.autoencoder.backbone import BackboneConfig
from unlesion.methods.base import Method, Phase, Stage, StepContext
from unlesion.methods.batch import Batch, Evidence
from unlesion.methods.sizes import coarsest_grid
from unlesion.networks.bottleneck import DenseCode, DenseExpansion
from unlesion.networks.modes import asking
from unlesion.networks.roi import roi_mean
from unlesion.networks.ssim import ssim_map
from unlesion.networks.strided import StridedDecoder, StridedEncoder, decoder_widths


class AutoEncoderConfig(BackboneConfig):
    """Settings of `AutoEncoder`, beside those of its backbone.

    Attributes:
        bottleneck: "dense" squeezes the image into `latent` numbers; "spatial" keeps the coarsest grid
            of features, which draws sharper images and copies more of the lesion.
        loss: mean absolute error, mean squared error, or 1 - SSIM, each over the roi.
    """

    bottleneck: Literal["dense", "spatial"] = "dense"
    loss: Literal["l1", "l2", "ssim"] = "l1"


class AutoEncoderNetwork(nn.Module):
    """Encoder and decoder, the bottleneck shared out between them."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def encode(self, images: Tensor) -> Tensor:
        """(B, C, ...) to a code (B, latent) or features (B, width, grid, ...)."""
        code = self.encoder(images)
        features: Tensor = code[0] if isinstance(code, tuple) else code
        return features

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, ...) to their reconstruction."""
        result: Tensor = self.decoder(self.encode(images))
        return result


class AutoEncoder(Method):
    """Baur's convolutional autoencoder, with a dense or a spatial bottleneck."""

    name = "ae"
    family = "autoencoder"
    title = "Convolutional autoencoder, dense or spatial bottleneck"
    citation = (
        "Baur, Denner, Wiestler, Navab, Albarqouni. Autoencoders for Unsupervised Anomaly Segmentation in "
        "Brain MR Images: A Comparative Study. Medical Image Analysis 2021. "
        "SSIM loss: Bergmann et al., VISAPP 2019."
    )
    deviations = (
        "The loss is averaged over the roi: background is not learnt; the paper sums it over all pixels.",
        "Training length and learning-rate cosine come from the budget; the paper stops on validation loss.",
        "The weights kept are averaged ones, beside the batch statistics of the last; learning rates rise over the first 25 steps, here as in all methods.",
        "The published score keeps bright residuals above a percentile only; native here is |x - x^|.",
        "The SSIM loss is used with this network, not with Bergmann's own 9-layer one.",
        "The cpu and tiny presets are smaller than the published networks.",
    )
    presets = {
        "tiny": {
            "image_size": 32, "batch": 16, "widths": (8, 16, 16), "reduced": 4, "latent": 16, "dropout": 0.0,
            "learning_rate": 3e-3,
        },
        "cpu": {
            "image_size": 64, "batch": 32, "widths": (16, 32, 64, 64), "kernel": 4, "reduced": 64,
            "latent": 16, "dropout": 0.0, "learning_rate": 1e-3,
        },
        "gpu": {"image_size": 128, "batch": 64, "learning_rate": 1e-3, "dropout": 0.1},
        "paper": {"image_size": 128, "batch": 128},
    }  # fmt: skip
    native = {"rule": "residual"}
    Config = AutoEncoderConfig
    config: AutoEncoderConfig

    def build(self) -> nn.Module:
        """Parts `encoder` and `decoder`."""
        config, spec = self.config, self.spec
        width = config.widths[-1]
        grid = coarsest_grid(spec, len(config.widths), method=self.name)
        down = StridedEncoder(spec.channels, widths=config.widths, kernel=config.kernel, dims=spec.dims)
        up = StridedDecoder(
            spec.channels, widths=decoder_widths(config.widths), kernel=config.kernel, dims=spec.dims
        )
        if config.bottleneck == "spatial":
            return AutoEncoderNetwork(nn.Sequential(down, nn.Dropout(config.dropout)), up)
        code = DenseCode(
            width,
            reduced=config.reduced,
            grid=grid,
            latent=config.latent,
            dims=spec.dims,
            dropout=config.dropout,
        )
        expansion = DenseExpansion(
            width,
            reduced=config.reduced,
            grid=grid,
            latent=config.latent,
            dims=spec.dims,
            dropout=config.dropout,
        )
        return AutoEncoderNetwork(nn.Sequential(down, code), nn.Sequential(expansion, up))

    def stages(self) -> list[Stage]:
        """One stage, everything learns."""
        config = self.config
        optimizer = partial(torch.optim.Adam, lr=config.learning_rate, betas=(config.momentum, 0.999))
        phase = Phase(name="reconstruct", parts=("encoder", "decoder"), loss=self._loss, optimizer=optimizer)
        return [Stage(name="train", phases=(phase,))]

    def _loss(self, network: nn.Module, batch: Batch, context: StepContext) -> Mapping[str, Tensor]:
        images = batch.images * batch.roi
        drawn = network(images).float() * batch.roi
        if self.config.loss == "l1":
            value = roi_mean((drawn - images).abs(), batch.roi)
        elif self.config.loss == "l2":
            value = roi_mean((drawn - images).square(), batch.roi)
        else:
            value = roi_mean(1.0 - ssim_map(drawn, images), batch.roi)
        return {"loss": value}

    def explain(self, network: nn.Module, batch: Batch) -> Evidence:
        """The reconstruction, and the code of a dense bottleneck."""
        images = batch.images * batch.roi
        with asking(network):
            code = network.encode(images)  # type: ignore[operator]
            drawn = network.decoder(code).float()  # type: ignore[operator]
        latent = {"code": code.float()} if self.config.bottleneck == "dense" else {}
        return Evidence(healthy=drawn * batch.roi, latent=latent)
