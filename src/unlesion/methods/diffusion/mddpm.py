"""mDDPM: box-wise diffusion of images that are masked in places or in their frequencies, and drawn whole again."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from unlesion.methods.base import StepContext
from unlesion.methods.batch import Batch
from unlesion.methods.diffusion.pddpm import PDDPM, PDDPMConfig
from unlesion.networks.draws import uniform
from unlesion.networks.masking import masked_frequencies, random_rectangles


class MDDPMConfig(PDDPMConfig):
    """Settings of `MDDPM`: those of `PDDPM`, and the masking of training images.

    Attributes:
        masking: "ipm": rectangles of the image are black. "fpm": the whole image lacks its low or its high
            frequencies. "cm": rectangles of the image hold what the image is without these.
        rectangles: the most in an image; how many it has is drawn from 0 to this. With "fpm", 0 leaves it whole.
        rectangle: longest side of a rectangle, in sides of the roi's bounding box; the shortest is half of it.
        frequencies: between which the end of the low frequencies is drawn, in cycles per pixel.
    """

    masking: Literal["ipm", "fpm", "cm"] = "cm"
    rectangles: int = Field(5, ge=1)
    rectangle: float = Field(0.18, gt=0, le=1)
    frequencies: tuple[float, float] = (2 / 96, 10 / 96)

    @model_validator(mode="after")
    def _possible(self) -> MDDPMConfig:
        if self.target != "x0":
            raise ValueError(
                f"masked images are drawn whole again; target={self.target} would not ask for it"
            )
        low, high = self.frequencies
        if not 0 <= low <= high <= 0.5:
            raise ValueError(f"frequencies must rise from 0 to 0.5 at most, not {low:g} to {high:g}")
        return self


class MDDPM(PDDPM):
    """Masked diffusion: what the network is shown lacks more than the noise hides; what it should draw does not."""

    name = "mddpm"
    title = "Diffusion box by box, of masked images"
    citation = (
        "Iqbal, Khalid, Chen, Hua. Unsupervised Anomaly Detection in Medical Images Using Masked Diffusion Model. "
        "MLMI Workshop at MICCAI 2023."
    )
    deviations = (
        "The default, `cm`, has the released code's masking; of `ipm` and `fpm`, of which no code is released, the "
        "sizes and numbers are reconstructed.",
        "Frequencies are masked around 0 evenly in both directions, and their limit is drawn from a range, not from whole "
        "numbers; it is a share of the image's, 2 to 10 of 96 pixels.",
        "Rectangles lie anywhere in the bounding box of the roi, and each side is sized by the same side of that box; the "
        "released code keeps them from the rim, sizes both by the brain's rows, and stops on slices that are too small "
        "for this.",
        *PDDPM.deviations,
    )
    Config = MDDPMConfig
    config: MDDPMConfig

    def shown(self, images: Tensor, batch: Batch, context: StepContext) -> Tensor:
        """Training images with parts masked, (B, C, ...); what is noised. The target stays whole."""
        config, generator, device = self.config, context.generator, images.device
        rectangles = random_rectangles(
            batch.roi, most=config.rectangles, share=config.rectangle, generator=generator
        )
        if config.masking == "ipm":
            return images.masked_fill(rectangles, 0.0)
        low, high = config.frequencies
        limits, coin = uniform((2, len(images)), generator=generator, device=device)
        masked = masked_frequencies(images, low + (high - low) * limits, coin < 0.5) * batch.roi
        if config.masking == "fpm":
            some = rectangles.flatten(1).any(1)
            rectangles = some.reshape(-1, *[1] * (images.ndim - 1))
        return torch.where(rectangles, masked, images)
