"""Contrastive cDDPM: the code should not change when a part of the image is erased, so that it holds no lesion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from unlesion.methods.base import MethodConfig, Stage, StepContext
from unlesion.methods.batch import Batch
from unlesion.methods.diffusion.cddpm import ConditionedDDPM, ConditionedDDPMConfig, ConditionedNetwork
from unlesion.methods.diffusion.ddpm import SCALE
from unlesion.networks.contrast import margin_info_nce
from unlesion.networks.rectangles import erase_rectangle


class ContrastiveDDPMConfig(ConditionedDDPMConfig):
    """Settings of `ContrastiveDDPM`, beside those of `ConditionedDDPM`.

    Attributes:
        context: numbers of the code.
        pretraining: share of the budget in which the encoder learns; afterwards it is frozen, so it cannot be 0.
        contrast: weight of the contrastive loss beside that of filling in.
        temperature: similarities are divided by it.
        margin: epsilon of the contrastive loss.
        erased: probability that the second view of an image has a rectangle erased.
    """

    context: int = Field(128, ge=1)
    pretraining: float = Field(0.2, gt=0, lt=1)
    contrast: float = Field(1.0, ge=0)
    temperature: float = Field(0.07, gt=0)
    margin: float = Field(0.5, ge=0)
    erased: float = Field(0.7, ge=0, le=1)


class ContrastiveDDPM(ConditionedDDPM):
    """cDDPM whose encoder learns alone, from masked images and from erased ones, and is then frozen."""

    name = "contrastive-ddpm"
    title = "Diffusion told a code that erasing does not change"
    citation = (
        "Patrício, Barbano, Fiandrotti, Renzulli, Grangetto, Teixeira, Neves. Unsupervised Contrastive Analysis for "
        "Anomaly Detection in Brain MRIs via Conditional Diffusion Models. arXiv 2406.00772."
    )
    deviations: ClassVar[tuple[str, ...]] = (
        SCALE,
        "The released code lacks the file of the contrastive loss; here both views of an image are anchors, and all views of the other images of the batch are their negatives.",
        "The contrast compares images seen whole, in one batch with their erased views; filling in has a pass of its own.",
        "Erased and whole images are contrasted, as the paper says; the released code makes the erased ones, but contrasts whole with "
        "masked ones. That the encoder is frozen afterwards is the paper's, too: the file that does it is missing from the release.",
        "A rectangle's lengths and shifts are drawn independently, and what leaves the image comes in at the other end, where the "
        "released one is cut off; in volumes it is a cuboid.",
        "The linear layer from features to code has no part in the contrast and learns with the U-Net; all of the encoder before it is frozen.",
        "The paper preset has the image size and the U-Net of cDDPM; published pictures are drawn at up to 480 pixels.",
        "The encoder is MONAI's ResNet-50; the published one is timm's.",
        "How long the encoder learns is a share of the budget; published are 1200 epochs.",
        "Both stages keep the last, averaged weights.",
        "The losses of filling in and of diffusion are averaged over the roi, the published ones over all (masked) pixels of the image.",
        "Every image has a noise field of its own, cut from a bank; the simplex noise is scaled to the measured strength of the published one.",
        "Images are not augmented unless training.contrast or training.mirror say so; published are changes of intensity.",
        "The cpu and gpu presets average six images, two from each of the levels 250, 350 and 500.",
        "The tiny, cpu and gpu presets have smaller encoders and U-Nets, with a higher learning rate that follows a cosine to 0, and without "
        "octaves of noise shorter than 2 pixels; they erase in every image, the released code in 0.7 of them.",
        "Published post-processing is common to all methods here, in mm.",
    )
    # As cDDPM's, but more time for an encoder that learns nothing later. Short trainings erase in every image.
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        preset: {**settings, "pretraining": 0.2, **({} if preset == "paper" else {"erased": 1.0})}
        for preset, settings in ConditionedDDPM.presets.items()
    }
    Config: ClassVar[type[MethodConfig]] = ContrastiveDDPMConfig
    version = 2
    reads = frozenset({1})
    config: ContrastiveDDPMConfig

    def stages(self) -> list[Stage]:
        """The encoder learns alone; then the U-Net, with the linear layer that makes the code."""
        share = 1 - self.config.pretraining
        return [self.pretraining_stage(), self.diffusion_stage(parts=("unet", "head"), share=share)]

    def pretraining_loss(
        self, network: nn.Module, batch: Batch, context: StepContext
    ) -> Mapping[str, Tensor]:
        """Filling in, and features that stay when a rectangle is erased."""
        assert isinstance(network, ConditionedNetwork)
        config = self.config
        filling = super().pretraining_loss(network, batch, context)["loss"]
        images = batch.images * batch.roi
        erased = erase_rectangle(images, probability=config.erased, generator=context.generator)
        whole, part = network.encoder(torch.cat([images, erased])).chunk(2)
        contrast = margin_info_nce(whole, part, temperature=config.temperature, margin=config.margin)
        return {"loss": filling + config.contrast * contrast, "fill": filling, "contrast": contrast}
