"""cDDPM: diffusion that is told a short code of the noise-free image, so that contrast and coarse shape stay."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from unlesion.methods.base import InputSpec, MethodConfig, Phase, Stage, StepContext
from unlesion.methods.batch import Batch
from unlesion.methods.diffusion.config import DiffusionConfig
from unlesion.methods.diffusion.ddpm import DDPM, SCALE, DiffusionNetwork
from unlesion.methods.sizes import coarsest_grid
from unlesion.networks.context_encoder import ContextEncoder
from unlesion.networks.diffusion.unet import DiffusionUNet
from unlesion.networks.masked_decoder import MaskedDecoder
from unlesion.networks.modes import asking
from unlesion.networks.roi import roi_mean
from unlesion.networks.visible import draw_visible, on_grid, visible_only

# Below 8 channels a strided convolution of one pixel, which halves images beside a residual block, writes beyond its memory on
# processors with AVX2 alone (torch 2.13, oneDNN 3.12, channels beside each other).
Width = Annotated[int, Field(ge=8)]

# What the presets add to those of `ddpm`.
CODES: Mapping[str, Mapping[str, Any]] = {
    "tiny": {
        "context": 8, "encoder_block": "basic", "encoder_layers": (1, 1, 1, 1), "encoder_widths": (8, 8, 8, 8),
        "encoder_halvings": 3, "pretraining_rate": 3e-3, "pretraining_width": 8,
    },
    "cpu": {
        "context": 64, "encoder_block": "basic", "encoder_layers": (1, 1, 1, 1), "encoder_widths": (16, 32, 64, 128),
        "encoder_halvings": 4, "pretraining": 0.1, "pretraining_rate": 1e-3, "pretraining_width": 128,
    },
    "gpu": {
        "context": 128, "encoder_block": "basic", "encoder_layers": (2, 2, 2, 2),
        "encoder_widths": (32, 64, 128, 256), "pretraining": 0.1, "pretraining_rate": 3e-4,
        "pretraining_width": 256,
    },
    "paper": {},
}  # fmt: skip


class ConditionedDDPMConfig(DiffusionConfig):
    """Settings of `ConditionedDDPM`, beside those of `DDPM`; the defaults are those of its `paper` preset.

    Attributes:
        context: numbers of the code: 512 in the released code, 128 in the paper.
        encoder_block: "bottleneck" or "basic", residual blocks of the encoder.
        encoder_layers: blocks of each of its four levels.
        encoder_widths: of the levels, 8 or more; bottlenecks have four times as many channels.
        encoder_halvings: of the image at its coarsest level, 3 to 5.
        pretraining: share of the budget in which the encoder learns to fill in masked images; 0 leaves it out.
        mask_ratio: share of an image that is masked there, in cells as large as a place of the coarsest level.
        pretraining_rate: learning rate there (AdamW).
        pretraining_width: channels of the decoder there, at its coarsest level.
    """

    context: int = Field(512, ge=1)
    encoder_block: Literal["basic", "bottleneck"] = "bottleneck"
    encoder_layers: tuple[int, int, int, int] = (3, 4, 6, 3)
    encoder_widths: tuple[Width, Width, Width, Width] = (64, 128, 256, 512)
    encoder_halvings: int = Field(5, ge=3, le=5)
    t_test: tuple[int, ...] = Field((250, 500, 750), min_length=1)
    pretraining: float = Field(0.2, ge=0, lt=1)
    mask_ratio: float = Field(0.65, gt=0, lt=1)
    pretraining_rate: float = Field(1e-4, gt=0)
    pretraining_width: int = Field(512, ge=8)


class ConditionedNetwork(DiffusionNetwork):
    """The U-Net, the encoder, the linear layer from its features to the code, and what only pre-training needs."""

    def __init__(
        self, unet: DiffusionUNet, encoder: ContextEncoder, head: nn.Linear, pretrainer: MaskedDecoder | None
    ) -> None:
        super().__init__(unet)
        self.encoder = encoder
        self.head = head
        if pretrainer is not None:
            self.pretrainer = pretrainer


class ConditionedDDPM(DDPM):
    """An encoder sees the clean image; its code scales and shifts the features of every block of the U-Net."""

    name = "cddpm"
    title = "Diffusion told a code of the clean image"
    citation = (
        "Behrendt, Bhattacharya, Mieling, Maack, Krüger, Opfer, Schlaefer. Guided Reconstruction with Conditioned "
        "Diffusion Models for Unsupervised Anomaly Detection in Brain MRIs. Computers in Biology and Medicine 2025 "
        "(arXiv 2312.04215). Pre-training: Tian et al., Designing BERT for Convolutional Networks (SparK), ICLR 2023."
    )
    deviations: ClassVar[tuple[str, ...]] = (
        SCALE,
        "The code has 512 numbers as in the released code; the paper says 128 (`context=128`).",
        "The encoder is MONAI's ResNet-50; the published one is timm's, with stochastic depth of 0.05, which is left out.",
        "How long the encoder is pre-trained is a share of the budget; published are up to 1200 epochs beside 1200 to 1600 of diffusion.",
        "Pre-training and diffusion keep the last, averaged weights; the published ones are the best on healthy validation scans.",
        "All losses are averaged over the roi, the published ones over all (masked) pixels of the image.",
        "Every image has a noise field of its own, cut from a bank; the released code has one for all of a batch (`shared_field`).",
        "The simplex noise is scaled to the measured strength of the published one, not copied from its code.",
        "The learning rate of the paper preset is that of the released code (1e-4), the paper says 1e-5.",
        "Images are not augmented unless training.contrast or training.mirror say so; published are gamma, bias field, blur and ghosting.",
        "The cpu and gpu presets average six images, two from each of the levels 250, 350 and 500; published are 250, 500 and 750.",
        "The tiny, cpu and gpu presets have smaller encoders and U-Nets, with a higher learning rate that follows a cosine to 0, and without "
        "octaves of noise shorter than 2 pixels.",
        "Published post-processing is common to all methods here, in mm.",
    )
    # The U-Net and its training are those of `ddpm`, so that the two can be compared.
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        preset: {**settings, **CODES[preset]} for preset, settings in DDPM.presets.items()
    }
    Config: ClassVar[type[MethodConfig]] = ConditionedDDPMConfig
    config: ConditionedDDPMConfig

    def __init__(self, config: MethodConfig, spec: InputSpec) -> None:
        super().__init__(config, spec)
        self.cells = coarsest_grid(spec, self.config.encoder_halvings, method=self.name)

    def build(self) -> nn.Module:
        """Parts `unet`, `encoder`, `head` and, if there is pre-training, `pretrainer`."""
        config, spec = self.config, self.spec
        encoder = ContextEncoder(
            spec.channels,
            block=config.encoder_block,
            layers=config.encoder_layers,
            widths=config.encoder_widths,
            halvings=config.encoder_halvings,
            dims=spec.dims,
        )
        pretrainer = None
        if config.pretraining:
            pretrainer = MaskedDecoder(
                spec.channels,
                scales=encoder.scales,
                width=config.pretraining_width,
                halvings=config.encoder_halvings,
                dims=spec.dims,
            )
        head = nn.Linear(encoder.width, config.context)
        return ConditionedNetwork(self.unet(context=config.context), encoder, head, pretrainer)

    def stages(self) -> list[Stage]:
        """The encoder fills in masked images; then it and the U-Net learn together."""
        share = self.config.pretraining
        diffusion = self.diffusion_stage(parts=("unet", "encoder", "head"), share=1 - share)
        return [self.pretraining_stage(), diffusion] if share else [diffusion]

    def pretraining_stage(self) -> Stage:
        """The stage in which the encoder learns alone."""
        config = self.config
        adam = partial(torch.optim.AdamW, lr=config.pretraining_rate, betas=(0.9, 0.95), weight_decay=0.05)
        phase = Phase(
            name="fill", parts=("encoder", "pretrainer"), loss=self.pretraining_loss, optimizer=adam
        )
        return Stage(name="pretraining", phases=(phase,), share=config.pretraining)

    def pretraining_loss(
        self, network: nn.Module, batch: Batch, context: StepContext
    ) -> Mapping[str, Tensor]:
        """Squared error of what is drawn where the image was masked, within the roi."""
        assert isinstance(network, ConditionedNetwork)
        images = batch.images * batch.roi
        visible = draw_visible(
            len(images),
            (self.cells,) * self.spec.dims,
            masked=self.config.mask_ratio,
            generator=context.generator,
            device=images.device,
        )
        shown = on_grid(visible, images)
        with visible_only(network.encoder, visible):
            features = network.encoder.features(images * shown)
        drawn = network.pretrainer(features, visible).float()
        return {"loss": roi_mean((drawn - images).square(), batch.roi & ~shown)}

    def code(self, network: nn.Module, images: Tensor, batch: Batch) -> Tensor | None:
        """The encoder sees grey values, not the network's signal."""
        assert isinstance(network, ConditionedNetwork)
        found: Tensor = network.head(network.encoder(images))
        return found

    def swapped(self, network: nn.Module, batch: Batch, other: Batch) -> Tensor:
        """Images noised and redrawn with the codes of others: (K, B, C, ...) in grey values, for each of `t_test`.

        Args:
            network: of `build`, trained.
            batch: the images that are noised.
            other: as many images, whose codes are told.
        """
        with asking(network):
            code = self.code(network, other.images * other.roi, other)
            return self.redrawn(network, batch, code=code)
