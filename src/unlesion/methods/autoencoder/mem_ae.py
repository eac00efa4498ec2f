"""Memory autoencoder: codes are replaced by mixtures of learnt healthy ones before they are drawn."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from unlesion.methods.base import Method, MethodConfig, Phase, Stage, StepContext
from unlesion.methods.batch import Batch, Evidence
from unlesion.methods.rates import constant
from unlesion.methods.sizes import coarsest_grid
from unlesion.networks.memory import Addressing, Memory, entropy
from unlesion.networks.mirrored import DenseSpread, DenseSqueeze, MirroredDecoder, MirroredEncoder
from unlesion.networks.modes import asking
from unlesion.networks.roi import roi_mean


class MemoryConfig(MethodConfig):
    """Settings of `MemoryAutoEncoder`; the defaults are the image version of the MedIAnomaly benchmark.

    Attributes:
        bottleneck: "dense" asks the memory once per image, with a code of `latent` numbers; "spatial" asks it at
            every point of the coarsest grid, as the original does.
        widths: channels after each convolution of stride 2.
        kernel: width of the convolutions in pixels.
        slope: of the activations below 0; 0 is ReLU.
        hidden: numbers in the hidden layers of a dense bottleneck.
        latent: numbers in the code of a dense bottleneck; a spatial one has the last of `widths`.
        rows: of the memory.
        shrink: weights of rows up to this are cut to 0; one over `rows` to three times that is usual.
        addressing: rows by their product with the code (the released code) or its cosine (the paper).
        sharpness: factor on the likeness; 1 as published.
        sparsity: weight of the entropy of the rows' weights.
        learning_rate: of Adam.
        schedule: of the learning rate: "constant" or "cosine" to 0.
    """

    bottleneck: Literal["dense", "spatial"] = "dense"
    widths: tuple[int, ...] = Field((16, 32, 64, 64), min_length=2)
    kernel: int = Field(4, ge=3, le=5)
    slope: float = Field(0.0, ge=0)
    hidden: int = Field(1024, ge=1)
    latent: int = Field(16, ge=1)
    rows: int = Field(25, ge=2)
    shrink: float = Field(0.0025, ge=0, lt=1)
    addressing: Addressing = "dot"
    sharpness: float = Field(1.0, gt=0)
    sparsity: float = Field(2e-4, ge=0)
    learning_rate: float = Field(1e-3, gt=0)
    schedule: Literal["constant", "cosine"] = "cosine"


class MemoryNetwork(nn.Module):
    """Encoder, memory and decoder, the dense bottleneck (if any) shared out between encoder and decoder."""

    def __init__(self, encoder: nn.Module, memory: Memory, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.memory = memory
        self.decoder = decoder

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, C, ...) to the redrawn images, the remembered codes, and the rows' weights (B, rows, ...)."""
        remembered, weights = self.memory(self.encoder(images))
        return self.decoder(remembered), remembered, weights


class MemoryAutoEncoder(Method):
    """Gong's MemAE, with one memory for the whole image or for each point of a grid."""

    name = "mem-ae"
    family = "autoencoder"
    title = "Memory-augmented autoencoder, dense or spatial"
    citation = (
        "Gong, Liu, Le, Saha, Mansour, Venkatesh, van den Hengel. Memorizing Normality to Detect Anomaly: "
        "Memory-augmented Deep Autoencoder for Unsupervised Anomaly Detection. ICCV 2019. "
        "Image version: Cai et al., MedIAnomaly, Medical Image Analysis 2025."
    )
    deviations = (
        "Where shrinkage would leave no row at all the weights stay unshrunk; the original answers with zeros.",
        "The paper preset is the published video network with 2-D convolutions in place of 3-D ones.",
        "The loss is averaged over the roi; the originals average over whole pictures.",
        "Images are 0 to 1.5 here and -1 to 1 in the originals.",
        "The weights kept are averaged ones, beside the batch statistics of the last; training length comes from the budget.",
        "The image score is the mean of the map after the median filter that all maps here pass.",
        "Learning rates rise over the first 25 steps of every stage, here as in all methods.",
        "The cpu preset learns in batches of 32 images, the originals 64.",
        "The tiny, cpu and gpu presets learn on a cosine; the tiny one is smaller.",
    )
    presets = {
        "tiny": {
            "image_size": 32, "batch": 16, "widths": (8, 16, 16), "hidden": 32, "latent": 8,
            "learning_rate": 3e-3,
        },
        "cpu": {"image_size": 64, "batch": 32},
        "gpu": {
            "image_size": 128, "batch": 64, "bottleneck": "spatial", "widths": (32, 64, 128, 128),
            "rows": 500,
        },
        "paper": {
            "image_size": 128, "batch": 14, "bottleneck": "spatial", "widths": (96, 128, 256, 256), "kernel": 3,
            "slope": 0.2, "rows": 2000, "learning_rate": 1e-4, "schedule": "constant",
        },
    }  # fmt: skip
    native = {"rule": "map:squared", "pool": "mean"}
    Config = MemoryConfig
    config: MemoryConfig

    def build(self) -> nn.Module:
        """Parts `encoder`, `memory` and `decoder`."""
        config, spec = self.config, self.spec
        shape: dict[str, Any] = {"slope": config.slope, "dims": spec.dims}
        grid = coarsest_grid(spec, len(config.widths), method=self.name)
        down = MirroredEncoder(spec.channels, widths=config.widths, kernel=config.kernel, **shape)
        up = MirroredDecoder(spec.channels, widths=config.widths, kernel=config.kernel, **shape)
        width = config.widths[-1] if config.bottleneck == "spatial" else config.latent
        memory = Memory(
            config.rows,
            width,
            shrink=config.shrink,
            addressing=config.addressing,
            sharpness=config.sharpness,
        )
        if config.bottleneck == "spatial":
            return MemoryNetwork(down, memory, up)
        shape |= {"grid": grid, "hidden": config.hidden, "latent": config.latent}
        return MemoryNetwork(
            nn.Sequential(down, DenseSqueeze(config.widths[-1], **shape)),
            memory,
            nn.Sequential(DenseSpread(config.widths[-1], **shape), up),
        )

    def stages(self) -> list[Stage]:
        """One stage, everything learns."""
        config = self.config
        phase = Phase(
            name="reconstruct",
            parts=("encoder", "memory", "decoder"),
            loss=self._loss,
            optimizer=partial(torch.optim.Adam, lr=config.learning_rate),
        )
        schedule = constant if config.schedule == "constant" else None
        return [Stage(name="train", phases=(phase,), schedule=schedule)]

    def explain(self, network: nn.Module, batch: Batch) -> Evidence:
        """What is drawn from memory; the map `squared` is the published one."""
        images = batch.images * batch.roi
        with asking(network):
            drawn, remembered, weights = network(images)
        healthy = drawn.float() * batch.roi
        # How many rows an image draws on says how well the memory knows it; on a grid that is no code of the image.
        dense = self.config.bottleneck == "dense"
        return Evidence(
            healthy=healthy,
            maps={"squared": (healthy - images).square().mean(1)},
            latent={"code": remembered, "weights": weights} if dense else {},
        )

    def _loss(self, network: nn.Module, batch: Batch, context: StepContext) -> Mapping[str, Tensor]:
        images = batch.images * batch.roi
        drawn, _, weights = network(images)
        error = roi_mean((drawn.float() - images).square(), batch.roi)
        spread = entropy(weights).mean()
        return {"loss": error + self.config.sparsity * spread, "reconstruction": error, "entropy": spread}
