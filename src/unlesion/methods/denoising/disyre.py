"""DISYRE: restore synthetic anomalies of every strength; what is restored in a scan is its anomaly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import ClassVar, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from unlesion.methods.base import Phase, Stage, StepContext
from unlesion.methods.batch import Batch, Evidence
from unlesion.methods.conditioned import ConditionedConfig, ConditionedMethod
from unlesion.methods.denoising.anomalies import BRIGHTEST, SIDE, GradedAnomalies, Kind, Shape
from unlesion.methods.rates import cosine
from unlesion.methods.sizes import coarsest_grid
from unlesion.networks.condition import Conditionable, with_planes
from unlesion.networks.diffusion.unet import DiffusionUNet
from unlesion.networks.modes import asking
from unlesion.networks.roi import roi_mean
from unlesion.networks.told_unet import ToldUNet

# The published schedule, from almost clean (0) to strongest (1): so many strengths, and the ends of its betas.
LEVELS, FIRST_BETA, LAST_BETA = 100, 1e-3, 2e-1
# Changes are told in units of the strength, of weaker ones in units of this.
FAINTEST = 0.05
# The network is told strengths as numbers up to this, as its time steps would be.
TOLD = 100.0

# (images, strengths (B,)) -> restored images.
Restorer = Callable[[Tensor, Tensor], Tensor]


class DisyreConfig(ConditionedConfig):
    """Settings of `Disyre`; the defaults are those of v2.

    Attributes:
        network: "told" is the U-Net of `dae`, told the strength; "diffusion" the one of `ddpm`.
        widths: channels of the levels ("told").
        width: channels of the first level ("diffusion").
        factors: of the levels' widths ("diffusion").
        blocks: residual blocks a level ("diffusion").
        attention: levels that attend, 0 the finest ("diffusion"); the middle always does.
        target: what the network tells: the restored "image", or its "change" in units of the strength, so that a faint
            anomaly counts as much in the loss as a strong one and a weak strength can change little.
        kinds: what anomalies are made of, see `GradedAnomalies`; v2 is ("texture", "bias"), v1 ("patch",).
        shapes: of the anomalies.
        sides: range of the sides of boxes and the diameters of balls, shares of the image's side.
        blob_sides: range of the mean diameters of blobs, shares of the image's side.
        softness: largest blur of a border, share of the image's side.
        tissues: classes of grey value that a bias chooses among; 1: it falls on whatever is there.
        bias: largest change by brightening or darkening, in grey values, as published 1: tissue lies about 0.5, so that half of the
            darkenings end at black.
        weak: share of the anomalies that are made weaker by the third power of a random number, so that the weak strengths
            that are told at detection are met in training; 0, as published, is the default (what it is worth alone is not known).
        restoration: "ensemble" (v2) restores the scan as it is once for every strength told; "chain" (v1) step by
            step, from the strongest to the weakest.
        steps: strengths told at detection, evenly spaced along the published schedule.
        strengths: strengths to tell instead, each above 0; empty for those of the schedule.
        learning_rate: of AdamW.
        weight_decay: of AdamW.
        clip_norm: largest norm of the gradient.
    """

    at_detection: ClassVar[frozenset[str]] = frozenset({"restoration", "steps", "strengths"})

    network: Literal["told", "diffusion"] = "told"
    widths: tuple[int, ...] = Field((32, 64, 128, 256), min_length=2)
    width: int = Field(32, ge=8, multiple_of=4)
    factors: tuple[int, ...] = Field((1, 2, 3, 4, 8, 8), min_length=2)
    blocks: int = Field(2, ge=1)
    attention: tuple[int, ...] = (4,)
    target: Literal["image", "change"] = "image"
    kinds: tuple[Kind, ...] = Field(("texture", "bias"), min_length=1)
    shapes: tuple[Shape, ...] = Field(("box", "ball", "blob"), min_length=1)
    sides: tuple[float, float] = (10 / SIDE, 44 / SIDE)
    blob_sides: tuple[float, float] = (36 / SIDE, 64 / SIDE)
    softness: float = Field(5 / SIDE, ge=0, le=1)
    tissues: int = Field(5, ge=1, le=32)
    bias: float = Field(1.0, gt=0, le=1.5)
    weak: float = Field(0.0, ge=0, le=1)
    restoration: Literal["ensemble", "chain"] = "ensemble"
    steps: int = Field(4, ge=1, le=LEVELS)
    strengths: tuple[float, ...] = ()
    learning_rate: float = Field(1e-4, gt=0)
    weight_decay: float = Field(1e-6, ge=0)
    clip_norm: float = Field(1.0, gt=0)

    @field_validator("sides", "blob_sides")
    @classmethod
    def _a_range(cls, ends: tuple[float, float]) -> tuple[float, float]:
        if not 0 < ends[0] <= ends[1] <= 1:
            raise ValueError("a range from the smaller to the larger share, above 0 and at most 1")
        return ends

    @field_validator("strengths")
    @classmethod
    def _above_zero(cls, strengths: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 < strength <= 1 for strength in strengths):
            raise ValueError("strengths lie above 0 and at most at 1")
        return strengths

    @property
    def told(self) -> tuple[float, ...]:
        """The strengths told at detection, the strongest first."""
        return tuple(sorted(self.strengths or schedule_strengths(self.steps), reverse=True))


def schedule_strengths(steps: int) -> list[float]:
    """Strengths evenly spaced along the published schedule, its weakest among them.

    Strength i of 100 is ``sqrt(prod_{j <= i} (1 - beta_j))``, beta from 1e-3 to 0.2; 4 steps are i = 99, 74, 49, 24.
    """
    kept = (1 - torch.linspace(FIRST_BETA, LAST_BETA, LEVELS, dtype=torch.float64)).cumprod(0).sqrt()
    return [float(kept[round(LEVELS - k * LEVELS / steps) - 1]) for k in range(steps)]


class DisyreNetwork(Conditionable):
    """Holds the U-Net, whose further planes tell the modality."""

    def __init__(self, unet: ToldUNet | DiffusionUNet, *, tells_change: bool = False) -> None:
        super().__init__()
        self.unet = unet
        self.tells_change = tells_change

    def forward(self, images: Tensor, strengths: Tensor) -> Tensor:
        """(B, C, ...) and (B,) strengths from 0 to 1 to the images restored."""
        result: Tensor = self.unet(with_planes(images, self.condition), TOLD * strengths)
        if self.tells_change:
            result = images + units_of(strengths, images.ndim) * result
        return result


def units_of(strengths: Tensor, dims: int) -> Tensor:
    """What changes are told in, (B,) to (B, 1, ...)."""
    return strengths.clamp(min=FAINTEST).reshape(-1, *[1] * (dims - 1))


def ensemble(restore: Restorer, images: Tensor, strengths: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """Restore the images as they are, once for every strength.

    Args:
        restore: the network.
        images: (B, C, ...).
        strengths: falling.

    Returns:
        The images restored at the first, strongest strength (what the weak ones leave in would show in a mean), and
        the mean over the strengths of their distance to what was restored; both (B, C, ...).
    """
    drawn = [restore(images, images.new_full((len(images),), strength)) for strength in strengths]
    return drawn[0], torch.stack([(images - restored).abs() for restored in drawn]).mean(0)


def chain(restore: Restorer, images: Tensor, strengths: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """Restore the images step by step: of what is restored at a strength, the next strength's share is left in.

    Cold diffusion (Bansal et al., NeurIPS 2023) with a linear blend as degradation:
    ``x_{t-1} = x^ + (a_{t-1} / a_t) (x_t - x^)``, the last step ends at ``x^``.

    Args:
        restore: the network.
        images: (B, C, ...).
        strengths: falling.

    Returns:
        The last restored images, and the mean over the steps of ``|x_t - x^|``; both (B, C, ...).
    """
    distance = torch.zeros_like(images)
    left = images
    restored = images
    for strength, following in zip(strengths, (*strengths[1:], 0.0), strict=True):
        restored = restore(left, images.new_full((len(images),), strength))
        distance += (left - restored).abs() / len(strengths)
        left = (restored + following / strength * (left - restored)).clamp(0.0, BRIGHTEST)
    return restored, distance


class Disyre(ConditionedMethod):
    """A U-Net that is told how strong an anomaly is, trained on synthetic ones; v1 and v2."""

    name = "disyre"
    family = "denoising"
    title = "Diffusion-inspired synthetic restoration"
    citation = (
        "Naval Marimont, Baugh, Siomos, Tzelepis, Kainz, Tarroni. DISYRE: Diffusion-Inspired SYnthetic REstoration for "
        "Unsupervised Anomaly Detection. ISBI 2024; v2: Ensembled Cold-Diffusion Restorations for Unsupervised Anomaly "
        "Detection. MICCAI 2024."
    )
    deviations: ClassVar[tuple[str, ...]] = (
        "The network is told the strength itself. The released code tells the nearest of 100 time steps, in one order in training and "
        "in the other in its step-by-step restoration.",
        "Images are seen whole; published are patches of 128 pixels in a sliding window, each map weighted by the patch's share of head.",
        "Sizes of anomalies are shares of the image's side, the same as the published ones of a patch. Anomalies may lie anywhere in the "
        "roi and reach its border; published ones keep half a window off the patch's border and end at the window's.",
        "Irregular shapes are drawn anew, with a radius that goes up and down with the direction; published ones are slices of 300 stored "
        "blobs. They are not enlarged further.",
        "Foreign pieces come round again at the other side of the picture where they reach beyond it; published ones are whole pieces.",
        "Soft shapes end where a thousandth of them is left.",
        "Images reach 1.5 where the median of tissue is 0.5, published ones are clipped at their 98th percentile: the same amount of bias "
        "is about 1.4 times as strong beside tissue here.",
        "The roi takes the place of the published foreground, pixels above 0.",
        "Classes of tissue are made of each image's own grey values and in each channel; published is one set of centres for all.",
        "Several channels share the shape and the place of the foreign piece. A bias has its own sign and amount in each, and the strength told "
        "is the largest. The map is the mean over the channels. Published is one channel.",
        "Foreign pieces come from the same batch, from another scan of the same modality if there is one; the released code keeps "
        "512 pieces of earlier patches, of any subject.",
        "Images are not augmented unless training.contrast or training.mirror say so; published are elastic deformation, rotation, "
        "zoom, mirroring, brightness, gamma, noise and blur.",
        "The loss is averaged over the roi, the published one over the whole patch.",
        "The tiny, cpu and gpu presets have the network of `dae`, told the strength by scale and shift, and a higher learning rate; with "
        "several channels its first convolution is standardised, with one it is plain. That of the paper preset has the guided-diffusion form of "
        "`ddpm` (reconstructed).",
        "The weights are averaged ones; training length, warm-up and batch come from the budget and the preset, published are 100,000 steps "
        "with 500 of warm-up.",
        "The step-by-step restoration is kept between 0 and 1.5. The healthy image, which v2 does not draw, is the one restored at the "
        "strongest strength told.",
        "`condition=true`, off by default, tells the network the modality of every image; the published ones are not told.",
    )
    presets = {
        "tiny": {"image_size": 32, "batch": 16, "widths": (8, 16, 32), "learning_rate": 3e-3},
        "cpu": {"image_size": 64, "batch": 16, "widths": (24, 48, 96), "learning_rate": 3e-3},
        "gpu": {"image_size": 128, "batch": 32, "learning_rate": 5e-4},
        "paper": {"image_size": 128, "batch": 96, "network": "diffusion"},
    }
    native = {"rule": "map:restoration"}
    version = 2
    Config = DisyreConfig
    config: DisyreConfig

    @property
    def anomalies(self) -> GradedAnomalies:
        """What the network learns to take out."""
        config = self.config
        return GradedAnomalies(
            kinds=config.kinds,
            shapes=config.shapes,
            sides=config.sides,
            blob_sides=config.blob_sides,
            softness=config.softness,
            tissues=config.tissues,
            bias=config.bias,
            weak=config.weak,
        )

    def build(self) -> nn.Module:
        """One part, `unet`."""
        config, spec = self.config, self.spec
        levels = len(config.widths if config.network == "told" else config.factors)
        coarsest_grid(spec, levels - 1, method=self.name)
        unet: ToldUNet | DiffusionUNet
        if config.network == "told":
            unet = ToldUNet(
                spec.channels,
                widths=config.widths,
                dims=spec.dims,
                # One that is standardised cannot see absolute grey in a single channel.
                plain_first=spec.channels == 1,
                extra=len(self.conditions),
            )
        else:
            unet = DiffusionUNet(
                spec.channels,
                width=config.width,
                factors=config.factors,
                blocks=config.blocks,
                attention=config.attention,
                dims=spec.dims,
                extra=len(self.conditions),
            )
        return DisyreNetwork(unet, tells_change=config.target == "change")

    def stages(self) -> list[Stage]:
        """One stage."""
        config = self.config
        optimizer = partial(
            torch.optim.AdamW,
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            betas=(0.95, 0.999),
        )
        phase = Phase(
            name="restore", parts=("unet",), loss=self._loss, optimizer=optimizer, clip_norm=config.clip_norm
        )
        return [Stage(name="train", phases=(phase,), schedule=cosine)]

    def _loss(self, network: nn.Module, batch: Batch, context: StepContext) -> Mapping[str, Tensor]:
        corrupted = self.anomalies.over(batch, generator=context.generator)
        restored = self.told(network, batch)(corrupted.images, corrupted.strength)
        error = restored.float() - batch.images * batch.roi
        if self.config.target == "change":
            error = error / units_of(corrupted.strength, error.ndim)
        return {"loss": roi_mean(error.square(), batch.roi)}

    def explain(self, network: nn.Module, batch: Batch) -> Evidence:
        """The restored image is the healthy one; the map `restoration` adds up what every strength changed."""
        config = self.config
        told = self.told(network, batch)

        def restore(images: Tensor, strengths: Tensor) -> Tensor:
            return told(images, strengths).float() * batch.roi  # type: ignore[no-any-return]

        with asking(network):
            walk = ensemble if config.restoration == "ensemble" else chain
            healthy, distance = walk(restore, batch.images * batch.roi, config.told)
        return Evidence(healthy=healthy, maps={"restoration": distance.mean(1)})
