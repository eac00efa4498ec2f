"""Variational autoencoder: reconstruction, and what its gradients say about the image."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from unlesion.methods.autoencoder.backbone import BackboneConfig
from unlesion.methods.base import MethodConfig, Phase, Stage, StepContext
from unlesion.methods.batch import Batch, Evidence
from unlesion.methods.conditioned import ConditionedConfig, ConditionedMethod
from unlesion.methods.sizes import coarsest_grid
from unlesion.methods.variational.gradients import codes_of, gradient_maps
from unlesion.methods.variational.network import VariationalNetwork, divergence
from unlesion.networks.bottleneck import DenseCode, DenseExpansion
from unlesion.networks.draws import normal
from unlesion.networks.modes import asking
from unlesion.networks.roi import roi_sum
from unlesion.networks.strided import StridedDecoder, StridedEncoder, decoder_widths


class VariationalConfig(BackboneConfig, ConditionedConfig):
    """Settings of `VariationalAutoEncoder`, beside those of its backbone.

    Attributes:
        reconstruction: absolute or squared error, summed over the roi of an image.
        beta: weight of the divergence from the prior beside that sum; 1 is the paper's.
        warmup: share of the training over which the weight rises from 0 to `beta`.
        samples: codes per image drawn for the gradients at detection; 0 takes the mean code only.
        smoothing: Gaussian blur of the gradient maps, in pixels.
    """

    at_detection: ClassVar[frozenset[str]] = frozenset({"samples", "smoothing"})

    dropout: float = Field(0.1, ge=0, lt=1)
    reconstruction: Literal["l1", "l2"] = "l1"
    beta: float = Field(1.0, ge=0)
    warmup: float = Field(0.0, ge=0, le=1)
    samples: int = Field(0, ge=0)
    smoothing: float = Field(2.0, ge=0)


class VariationalAutoEncoder(ConditionedMethod):
    """Baur's VAE with the gradient maps of Zimmerer et al.

    Maps: `kl_gradient` |dKL/dx|, `elbo_gradient` |dL/dx|, `combi` (x - x^)² · |dKL/dx|, each blurred.
    """

    name = "vae"
    family = "variational"
    title = "Variational autoencoder, residual and gradient maps"
    citation = (
        "Baur et al. Autoencoders for Unsupervised Anomaly Segmentation in Brain MR Images. "
        "Medical Image Analysis 2021. Gradient maps: Zimmerer et al. Unsupervised Anomaly Localization "
        "using Variational Auto-Encoders. MICCAI 2019."
    )
    deviations: ClassVar[tuple[str, ...]] = (
        "The loss is the paper's sum, over the roi alone and divided by its pixels: background is not learnt.",
        "Training length and learning-rate cosine come from the budget; the paper stops on validation loss.",
        "The weights kept are averaged ones, beside the batch statistics of the last; learning rates rise over the first 25 steps, here as in all methods.",
        "`log_sigma` is kept between -8 and 8.",
        "The cpu and gpu presets let `beta` rise at first; all but paper have higher learning rates.",
        "Gradients are taken at the mean code and blurred; the original averages over drawn codes.",
        "The published score keeps bright residuals above a percentile only; native here is |x - x^|.",
        "The cpu and tiny presets are smaller than the published network.",
        "`condition=true`, off by default, tells the network the modality of every image; the published ones are not told.",
    )
    presets = {
        "tiny": {
            "image_size": 32, "batch": 16, "widths": (8, 16, 16), "reduced": 4, "latent": 16, "dropout": 0.0,
            "learning_rate": 3e-3, "smoothing": 1.0,
        },
        "cpu": {
            "image_size": 64, "batch": 32, "widths": (16, 32, 64, 64), "kernel": 4, "reduced": 64,
            "latent": 16, "dropout": 0.0, "learning_rate": 1e-3, "warmup": 0.2, "smoothing": 1.0,
        },
        "gpu": {"image_size": 128, "batch": 64, "learning_rate": 1e-3, "warmup": 0.1},
        "paper": {"image_size": 128, "batch": 8},
    }  # fmt: skip
    native = {"rule": "residual"}
    codes_distribution = True
    Config: ClassVar[type[MethodConfig]] = VariationalConfig
    config: VariationalConfig

    def build(self) -> nn.Module:
        """Parts `encoder` and `decoder`."""
        config, spec = self.config, self.spec
        grid = coarsest_grid(spec, len(config.widths), method=self.name)
        width = config.widths[-1]
        conv: dict[str, Any] = {"kernel": config.kernel, "dims": spec.dims}
        dense: dict[str, Any] = {
            "reduced": config.reduced,
            "grid": grid,
            "dims": spec.dims,
            "dropout": config.dropout,
        }
        told = len(self.conditions)
        return VariationalNetwork(
            encoder=nn.Sequential(
                StridedEncoder(spec.channels + told, widths=config.widths, **conv),
                DenseCode(width, heads=2, latent=config.latent, **dense),
            ),
            decoder=nn.Sequential(
                DenseExpansion(width, latent=config.latent + told, **dense),
                StridedDecoder(spec.channels, widths=decoder_widths(config.widths), **conv),
            ),
        )

    def stages(self) -> list[Stage]:
        """One stage."""
        config = self.config
        optimizer = partial(torch.optim.Adam, lr=config.learning_rate, betas=(config.momentum, 0.999))
        phase = Phase(name="elbo", parts=("encoder", "decoder"), loss=self._loss, optimizer=optimizer)
        return [Stage(name="train", phases=(phase,))]

    def _loss(self, network: nn.Module, batch: Batch, context: StepContext) -> Mapping[str, Tensor]:
        network = self.told(network, batch)
        images = batch.images * batch.roi
        mean, log_sigma = network.encode(images)  # type: ignore[operator]
        noise = normal(tuple(mean.shape), generator=context.generator, device=mean.device)
        drawn = network.decode(mean + noise * log_sigma.exp())  # type: ignore[operator]
        error = self._error(drawn, images, batch.roi).sum()
        kl = divergence(mean, log_sigma).sum()
        pixels = (batch.roi.sum() * images.shape[1]).clamp(min=1)
        loss = (error + self._weight(context) * kl) / pixels
        return {"loss": loss, "reconstruction": error / pixels, "kl": kl / len(batch)}

    def explain(self, network: nn.Module, batch: Batch) -> Evidence:
        """Reconstruction from the mean code, the gradient maps, and the code's distribution."""
        config = self.config
        told = self.told(network, batch)
        if not batch.wants("kl_gradient", "elbo_gradient", "combi"):
            with asking(network):
                mean, log_sigma = told.encode(batch.images * batch.roi)  # type: ignore[operator]
                healthy = told.decode(mean)  # type: ignore[operator]
            codes = codes_of(told, batch, mean, log_sigma, healthy)
            return Evidence(healthy=healthy.float() * batch.roi, latent=codes)
        found = gradient_maps(
            told,
            batch,
            error=self._error,
            beta=config.beta,
            samples=config.samples,
            smoothing=config.smoothing,
        )
        residual = (batch.images * batch.roi - found.healthy).abs()
        combi = residual.square().mean(1) * found.kl
        return Evidence(
            healthy=found.healthy,
            maps={"kl_gradient": found.kl, "elbo_gradient": found.elbo, "combi": combi},
            latent=found.codes,
        )

    def _error(self, drawn: Tensor, images: Tensor, roi: Tensor) -> Tensor:
        """Reconstruction error of each image, summed over its roi: (B,) float32."""
        difference = drawn.float() - images
        return roi_sum(difference.abs() if self.config.reconstruction == "l1" else difference.square(), roi)

    def _weight(self, context: StepContext) -> float:
        warmup = self.config.warmup
        return self.config.beta * (min(1.0, context.progress / warmup) if warmup else 1.0)
