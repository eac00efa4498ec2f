"""ANDi: many single looks at slightly noised scans, joined by their geometric mean."""

from __future__ import annotations

import math
from functools import cached_property
from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from unlesion.methods.batch import Batch, Evidence
from unlesion.methods.diffusion.config import DiffusionConfig
from unlesion.methods.diffusion.ddpm import BRIGHTEST, DARKEST, DDPM, salt_of
from unlesion.networks.diffusion.noise import NoiseKind
from unlesion.networks.diffusion.process import Process, Target
from unlesion.networks.diffusion.schedules import ScheduleKind, make_schedule
from unlesion.networks.modes import asking

# The schedule is not shifted for images of this side.
SIDE_OF_NO_SHIFT = 56
# Squares below are as good as 0; without it one level of no error would hide all others.
LEAST_SQUARE = 1e-12
# Redrawn images are kept in the range of the recipe.
GREY_VALUES = DARKEST, BRIGHTEST
# Pixels of all levels of some images that may be alive at once: 128 MB a tensor.
MOST_PIXELS = 2**25


class ANDiConfig(DiffusionConfig):
    """Settings of `ANDi`: those of `DDPM` with the released code's values, as in the `paper` preset.

    Attributes:
        test_noise: what scans are noised with at detection; training has `noise`.
        across: how the maps of several channels join.
    """

    at_detection: ClassVar[frozenset[str]] = DiffusionConfig.at_detection | {"test_noise", "across"}

    width: int = Field(32, ge=4, multiple_of=2)
    factors: tuple[int, ...] = Field((1, 1, 1, 2, 3, 4), min_length=1)
    blocks: int | tuple[int, ...] = (1, 1, 1, 2, 4, 2)
    attention: tuple[int, ...] = (14, 7)
    head_width: int = Field(32, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    schedule: ScheduleKind = "log-snr"
    target: Target = "v"
    loss: Literal["l1", "l2"] = "l2"
    noise: NoiseKind = "pyramid"
    persistence: float = Field(0.9, gt=0)
    test_noise: NoiseKind = "gaussian"
    t_test: tuple[int, ...] = Field(tuple(range(26, 126)), min_length=1)
    across: Literal["max", "mean"] = "max"
    weight_decay: float = Field(0.01, ge=0)

    @model_validator(mode="after")
    def _one_step(self) -> ANDiConfig:
        if self.sampler != "one-step":
            raise ValueError(f"andi takes single steps; sampler={self.sampler} is for ddpm and anoddpm")
        return self


class ANDi(DDPM):
    """Aggregated normative diffusion: a network used to coarse noise, asked about fine noise at many low levels."""

    name = "andi"
    title = "Aggregated normative diffusion"
    citation = (
        "Frotscher, Kapoor, Wolfers, Baumgartner. Unsupervised Anomaly Detection using Aggregated Normative Diffusion. "
        "arXiv 2312.01904, 2023."
    )
    deviations = (
        "Grey values 0 and 1 of the recipe are -1 and 1 for the network (`grey`); the released code has there the lowest and the "
        "highest value of the volume.",
        "Settings are those of the authors' released benchmark code (t from 0.026 to 0.125), not of the 2023 paper.",
        "The map is the geometric mean of squared differences between scan and redrawn scan. The published one compares "
        "posterior means, which differ from these by a factor that depends on the level alone: their geometric mean is "
        "the same map but for one constant.",
        "Times are 1000 whole steps, the published ones any number from 0 to 1.",
        "The network has the guided-diffusion form of `ddpm` (reconstructed); widths, blocks, places and heads of attention are the "
        "released ones. Attention here looks at all places, follows every block of its levels and has no dropout; the released one looks "
        "at earlier places only, stands once in each level on the way up and has dropout, and residuals are divided by the root of 2.",
        "Dropout is in all residual blocks, the published network has it at 14 pixels and below.",
        "The loss is averaged over the roi, the published one over all pixels of the image.",
        "Grids of the pyramid noise are drawn anew for every image, and its strength is brought to 1 in every image; in the "
        "released code both are one for all of a batch.",
        "Redrawn grey values are kept within the recipe's range (up to 1.5), the published ones within that of the scans.",
        "Of how several channels join the default (the highest) is our choice.",
        "The healthy image, which the paper does not draw, is the mean of the redrawn ones.",
        "The weights are averages over the training setting's span, not with the factor 0.9999.",
        "Published post-processing, a 3-D median over 4 voxels, is replaced by that common to all methods here, in mm.",
        "Training length comes from the budget; images are not augmented unless training.contrast or training.mirror say so.",
        "The tiny, cpu and gpu presets are smaller, ask about 2, 11 and 20 levels, and have no dropout and a higher learning "
        "rate that follows a cosine to 0; the levels of cpu are higher than the published ones (150 to 300 of 1000).",
    )
    presets = {
        "tiny": {
            "image_size": 32, "batch": 16, "width": 8, "factors": (1, 1), "blocks": 1, "attention": (),
            "head_width": 128, "dropout": 0.0, "t_test": (50, 100), "learning_rate": 3e-3, "anneal": True,
        },
        "cpu": {
            "image_size": 64, "batch": 16, "width": 32, "factors": (1, 2, 3), "blocks": 1, "attention": (),
            "head_width": 128, "dropout": 0.0, "t_test": tuple(range(150, 301, 15)), "learning_rate": 1e-3,
            "anneal": True,
        },
        "gpu": {
            "image_size": 128, "batch": 32, "width": 64, "factors": (1, 1, 2, 3), "blocks": 2, "attention": (16,),
            "head_width": 128, "dropout": 0.0, "t_test": tuple(range(30, 126, 5)), "learning_rate": 3e-4, "anneal": True,
        },
        "paper": {"image_size": 224, "batch": 128},
    }  # fmt: skip
    native = {"rule": "map:andi", "pool_fraction": 0.001}
    Config = ANDiConfig
    config: ANDiConfig

    @cached_property
    def process(self) -> Process:
        """The forward process; its schedule is noisier for larger images, whose pixels tell more of each other."""
        config = self.config
        shift = 2 * math.log(SIDE_OF_NO_SHIFT / self.spec.size)
        return Process(make_schedule(config.schedule, config.timesteps, shift=shift), config.target)

    def judged(self, error: Tensor, times: Tensor) -> Tensor:
        """The error of the noise that a told velocity stands for: sqrt(abar) times that of the velocity."""
        if self.config.target != "v":
            return error
        return error * self.process.schedule.factors(times, error.ndim - 2)[0]

    def explain(self, network: nn.Module, batch: Batch) -> Evidence:
        """The map `andi`, and the mean redrawn image as the healthy one; images without any roi are not looked at."""
        healthy = torch.zeros_like(batch.images)
        anomaly = torch.zeros_like(batch.images[:, 0])
        there = batch.roi.flatten(1).any(1).nonzero()[:, 0]
        most = max(1, MOST_PIXELS // (len(self.config.t_test) * batch.images[:1].numel()))
        with asking(network):
            for rows in there.split(most) if len(there) else ():
                part = batch.pick(rows)
                drawn = self.redrawn(network, part).clamp(*GREY_VALUES)
                found = geometric_mean((drawn - part.images * part.roi).square())
                anomaly[rows] = found.amax(1) if self.config.across == "max" else found.mean(1)
                healthy[rows] = drawn.mean(0)
        return Evidence(healthy=healthy * batch.roi, maps={"andi": anomaly * batch.roi[:, 0]})

    def _field(self, batch: Batch, level: int, turn: int = 0) -> Tensor:
        noise = self.config.noise_of(self.config.test_noise)
        return self._drawn(noise, batch, salt=salt_of(level, turn), shared=self.config.shared_field)


def geometric_mean(squares: Tensor) -> Tensor:
    """Over the first axis: (K, ...) to (...)."""
    return (squares + LEAST_SQUARE).log().mean(0).exp()
