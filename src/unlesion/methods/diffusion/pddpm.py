"""pDDPM: noise in one box at a time; the network draws it anew from what lies around."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from unlesion.methods.base import InputSpec, MethodConfig, StepContext
from unlesion.methods.batch import Batch
from unlesion.methods.diffusion.config import DiffusionConfig
from unlesion.methods.diffusion.ddpm import DDPM, SCALE, SEVERAL_LOOKS
from unlesion.networks.diffusion.boxes import box_grid, masks


class PDDPMConfig(DiffusionConfig):
    """Settings of `PDDPM`: those of `DDPM`, and the boxes.

    Attributes:
        box: side of a box, in sides of the image.
        overlap: share of a box's side that it has in common with the next one, at least; boxes that do not tile the
            image share more.
        join: what becomes of pixels in several boxes: the answers' "average", or "centre", the answer of the box that
            they lie deeper in.
        placing: where training boxes lie: on the "grid" of detection, or "anywhere".
    """

    box: float = Field(0.5, gt=0, le=1)
    overlap: float = Field(0.0, ge=0, lt=1)
    join: Literal["average", "centre"] = "centre"
    placing: Literal["grid", "anywhere"] = "grid"

    @model_validator(mode="after")
    def _one_step(self) -> PDDPMConfig:
        if self.sampler != "one-step":
            raise ValueError(f"boxes are redrawn in one step; sampler={self.sampler} is for ddpm and anoddpm")
        return self


class PDDPM(DDPM):
    """Patched diffusion: one box of a grid is noised and redrawn at a time, the rest is shown clean."""

    name = "pddpm"
    title = "Diffusion box by box"
    citation = (
        "Behrendt, Bhattacharya, Krüger, Opfer, Schlaefer. Patched Diffusion Models for Unsupervised Anomaly "
        "Detection in Brain MRI. MIDL 2023."
    )
    deviations: ClassVar[tuple[str, ...]] = (
        SCALE,
        "The loss is averaged over the roi inside the boxes, the published one over all pixels of the image, to which "
        "those outside the box add 0.",
        "Boxes are placed by their share of the image's side (half, as published: 48 of 96 pixels).",
        "Boxes that do not tile the image are moved together, so that they overlap and cover it.",
        "Every image has a noise field of its own, cut from a bank; the released code has one for all of a batch. As "
        "there, all boxes of an image are cut from the same field.",
        "The simplex noise is scaled to the measured strength of the published one, not copied from its code.",
        "The weights are exponential averages of the last ones; the published ones are the best on healthy validation scans.",
        "The learning rate of the paper preset is that of the released code (1e-4), the paper says 1e-5.",
        "Training length comes from the budget; images are not augmented unless training.contrast or training.mirror say so.",
        "The cpu and gpu presets average six images, two from each of the levels 250, 350 and 500; published is one from 500.",
        "The tiny, cpu and gpu presets are smaller, with a higher learning rate that follows a cosine to 0, and without octaves of "
        "noise shorter than 2 pixels.",
        "Published post-processing is common to all methods here, in mm.",
    )
    # A box is a noisier lesson than an image: the smallest network takes smaller steps.
    presets = {**SEVERAL_LOOKS, "tiny": {**SEVERAL_LOOKS["tiny"], "factors": (1, 2), "learning_rate": 1.5e-3}}
    Config: ClassVar[type[MethodConfig]] = PDDPMConfig
    config: PDDPMConfig

    def __init__(self, config: MethodConfig, spec: InputSpec) -> None:
        super().__init__(config, spec)
        self.side = max(1, round(self.config.box * spec.size))

    @cached_property
    def grid(self) -> tuple[Tensor, Tensor]:
        """Boxes and the cells they answer for, each (N, 1, ...) bool on the CPU; cells cover every pixel once."""
        stride = max(1, round(self.side * (1 - self.config.overlap)))
        return box_grid(self.spec.size, self.spec.dims, side=self.side, stride=stride)

    def training_region(self, batch: Batch, context: StepContext) -> Tensor:
        """One box for every image, (B, 1, ...) bool."""
        size, dims, generator = self.spec.size, self.spec.dims, context.generator
        if self.config.placing == "anywhere":
            firsts = torch.randint(size - self.side + 1, (len(batch), dims), generator=generator)
            found = masks(firsts, firsts + self.side, (size,) * dims)
        else:
            boxes = self.grid[0]
            found = boxes[torch.randint(len(boxes), (len(batch),), generator=generator)]
        return found.to(batch.images.device, non_blocking=True)

    def regions(self, device: torch.device) -> Tensor:
        """All boxes of the grid, (N, 1, ...) bool."""
        return self.grid[0].to(device)

    def used(self, device: torch.device) -> Tensor | None:
        """The boxes' cells where `join` is "centre"."""
        return self.grid[1].to(device) if self.config.join == "centre" else None
