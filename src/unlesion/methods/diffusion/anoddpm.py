"""AnoDDPM: a part of the diffusion chain, forth with simplex noise and back step by step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from unlesion.methods.diffusion.config import DiffusionConfig
from unlesion.methods.diffusion.ddpm import DDPM
from unlesion.networks.diffusion.noise import NoiseKind
from unlesion.networks.diffusion.process import Target
from unlesion.networks.diffusion.schedules import ScheduleKind

# One chain leaves the chance of its noise in the folds, and the more steps it has, the more of a lesion it draws again:
# chosen on healthy and implanted scans of a validation set.
CHAINS: Mapping[str, Any] = {"t_test": (125, 125, 175, 175, 250, 250), "steps": 2}


class AnoDDPMConfig(DiffusionConfig):
    """Settings of `AnoDDPM`: those of `DDPM` with the paper's values, as in the `paper` preset."""

    factors: tuple[int, ...] = Field((1, 1, 2, 2, 4, 4), min_length=1)
    blocks: int | tuple[int, ...] = 2
    attention: tuple[int, ...] = (32, 16, 8)
    head_width: int = Field(256, ge=1)
    schedule: ScheduleKind = "linear"
    target: Target = "eps"
    loss: Literal["l1", "l2"] = "l2"
    grain: float = Field(0.25, gt=0)
    train_levels: int = Field(800, ge=1)
    t_test: tuple[int, ...] = Field((250,), min_length=1)
    sampler: Literal["one-step", "ddim", "ancestral"] = "ddim"
    # A network that has learnt to take off simplex noise takes nothing else off.
    step_noise: NoiseKind = "simplex"


class AnoDDPM(DDPM):
    """Simplex noise, the noise as target, a partial chain from level 250."""

    name = "anoddpm"
    title = "Partial diffusion with simplex noise"
    citation = (
        "Wyatt, Leach, Schmon, Willcocks. AnoDDPM: Anomaly Detection with Denoising Diffusion Probabilistic Models "
        "using Simplex Noise. CVPR Workshops 2022."
    )
    deviations = (
        "Grey values 0 and 1 of the recipe are -1 and 1 for the network (`grey`); the released code has there the range from one "
        "standard deviation below to two above the mean of the whole volume, and clips what is outside.",
        "The way back has 25 DDIM steps without new noise from level 250; `sampler=ancestral` asks the network in all 250, with new "
        "simplex noise in each, as the released detection does, which gives that noise the variance beta_t; here it has the posterior's, "
        "which is smaller at the lowest levels. The released measurement begins at level 200.",
        "The cpu and gpu presets average six chains of 2 DDIM steps, two from each of the levels 125, 175 and 250; published is one.",
        "The network has the guided-diffusion form of `ddpm` (reconstructed), which scales and shifts by the time where the released one "
        "adds it; widths, blocks and places of attention are the released ones. At 32 pixels attention has one head, the released one "
        "has two everywhere.",
        "Gradients are not clipped; the released code clips their norm at 1.",
        "The loss is averaged over the roi, the published one over all pixels of the image.",
        "Outside the roi the image is known and put in at every step back; grey values are kept within the recipe's range.",
        "Every image has a noise field of its own, cut from a bank; the released code has one for all of a batch.",
        "The simplex noise is scaled to the measured strength of the published one, and flat; the released code cuts planes out of a solid.",
        "The map is the absolute difference; the published one is its square, which ranks pixels alike, with a fixed threshold of 0.5 "
        "where ours comes from healthy scans. Post-processing is common to all methods here, in mm.",
        "Training length comes from the budget; batches are larger than 1.",
        "The tiny, cpu and gpu presets are smaller, with a higher learning rate that follows a cosine to 0, and without octaves of "
        "noise shorter than 2 pixels.",
    )
    presets = {
        "tiny": {
            "image_size": 32, "batch": 16, "width": 8, "factors": (1, 1), "blocks": 1, "attention": (),
            "octaves": 3, "steps": 5, "learning_rate": 3e-3, "anneal": True,
        },
        "cpu": {
            "image_size": 64, "batch": 16, "width": 32, "factors": (1, 2, 2), "blocks": 1, "attention": (),
            "head_width": 64, "octaves": 4, "learning_rate": 1e-3, "anneal": True, **CHAINS,
        },
        "gpu": {
            "image_size": 128, "batch": 32, "width": 64, "factors": (1, 2, 2, 4), "attention": (16,),
            "head_width": 64, "octaves": 5, "learning_rate": 3e-4, "anneal": True, **CHAINS,
        },
        "paper": {"image_size": 256, "batch": 8},
    }  # fmt: skip
    Config = AnoDDPMConfig
    config: AnoDDPMConfig
