"""PHANES: a reversed autoencoder finds what is unusual, an inpainter draws it anew from its surroundings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from unlesion.errors import BadInput
from unlesion.methods.adversarial.network import IntrospectiveNetwork
from unlesion.methods.adversarial.ra import ReversedAutoEncoder, ReversedConfig
from unlesion.methods.base import Phase, Stage, StepContext
from unlesion.methods.batch import Batch, Evidence, Wants
from unlesion.methods.rates import RATES
from unlesion.networks.aot import AOTGenerator
from unlesion.networks.ellipses import random_ellipses
from unlesion.networks.patch_critic import PatchCritic, critic_loss, deception_loss
from unlesion.networks.roi import roi_mean
from unlesion.networks.running_quantile import RunningQuantile
from unlesion.networks.smoothing import gaussian_blur
from unlesion.networks.style import content_loss, style_loss

# Suspicions are counted by their logarithms: their scale depends on the encoder's features.
LOWEST, HIGHEST = 1e-8, 1e4


class PhanesConfig(ReversedConfig):
    """Settings of `Phanes`, beside those of `ReversedAutoEncoder`; the defaults are the published ones.

    Attributes:
        inpainting: share of the budget that goes into the inpainter, the rest into the reversed autoencoder.
        generator_width: channels of the generator at full size; four times as many in its blocks.
        blocks: AOT blocks.
        dilations: of the branches of a block.
        critic_widths: channels of the critic's convolutions.
        inpainting_rate: learning rate of generator and critic (Adam).
        inpainting_schedule: of that learning rate: "constant", "step" or "cosine" to 0.
        judged: absolute, style and perceptual losses are of the "whole" drawn image, known parts included, or of
            the "composite" that is put to use, so that only what fills the holes counts.
        absolute: weight of the absolute error.
        style: weight of the difference of Gram matrices of the encoder's features.
        perceptual: weight of the difference of the encoder's features.
        adversarial: weight of the critic's judgement; 0 is what the released code comes to, and trains no critic.
        critic_target: the critic is to find the "whole" mask, or the part of it that was "random", as in the
            released code.
        adversarial_goal: holes should look "real" to the critic, or like what was "drawn", as in the released
            code, where generator and critic agree.
        critic_blur: Gaussian blur of the mask that the critic is to find, in pixels.
        ellipses: random ones in each training mask.
        half_axis: mean of the normal distribution whose magnitude their half axes have, in pixels.
        half_axis_spread: its standard deviation, in pixels.
        half_axis_least: the smallest half axis, in pixels.
        own_masks: share of a batch's images whose training mask also has what the autoencoder finds; finding it
            takes time on the processor.
        threshold: of suspicion, a quantile of healthy "training" pixels, or of each "image" itself.
        quantile: which one, at detection.
        training_quantile: which one while the inpainter learns; a lower one gives it more to do.
        mask_smoothing: Gaussian blur of the pixels above the threshold, in pixels.
        mask_level: what is above this after that blur is masked.
    """

    # Where its inpainter paints in training hangs on the perceptual map.
    at_detection: ClassVar[frozenset[str]] = frozenset({"samples", "quantile"})

    inpainting: float = Field(0.4, gt=0, lt=1)
    generator_width: int = Field(64, ge=1)
    blocks: int = Field(8, ge=1)
    dilations: tuple[int, ...] = Field((1, 2, 4, 8), min_length=1)
    critic_widths: tuple[int, ...] = Field((64, 128, 256, 512), min_length=1)
    inpainting_rate: float = Field(5e-5, gt=0)
    inpainting_schedule: Literal["constant", "step", "cosine"] = "constant"
    judged: Literal["whole", "composite"] = "whole"
    absolute: float = Field(1.0, ge=0)
    style: float = Field(250.0, ge=0)
    perceptual: float = Field(0.1, ge=0)
    adversarial: float = Field(0.01, ge=0)
    critic_target: Literal["whole", "random"] = "whole"
    adversarial_goal: Literal["real", "drawn"] = "real"
    critic_blur: float = Field(10.0, ge=0)
    ellipses: int = Field(10, ge=1)
    half_axis: float = Field(2.0, ge=0)
    half_axis_spread: float = Field(4.0, ge=0)
    half_axis_least: float = Field(2.0, gt=0)
    own_masks: float = Field(1.0, gt=0, le=1)
    threshold: Literal["training", "image"] = "training"
    quantile: float = Field(0.95, gt=0, lt=1)
    training_quantile: float = Field(0.9, gt=0, lt=1)
    mask_smoothing: float = Field(1.2, ge=0)
    mask_level: float = Field(0.1, ge=0, lt=1)


# What an inpainter that learns for minutes needs: faster steps, of which nothing is lost on parts that are known.
SMALL_INPAINTER: Mapping[str, Any] = {
    "inpainting_rate": 2e-3,
    "inpainting_schedule": "cosine",
    "judged": "composite",
    "style": 25.0,
    "own_masks": 0.25,
}


class PhanesNetwork(IntrospectiveNetwork):
    """The autoencoder's encoder and decoder, the inpainter's generator and critic, and the learnt threshold."""

    def __init__(
        self, autoencoder: IntrospectiveNetwork, *, generator: AOTGenerator, critic: PatchCritic
    ) -> None:
        super().__init__(
            autoencoder.encoder,
            autoencoder.decoder,
            log_variance_limit=autoencoder.log_variance_limit,
            passes=autoencoder.passes,
        )
        for name, part in autoencoder.named_children():
            if name not in ("encoder", "decoder"):
                self.add_module(name, part)
        self.generator = generator
        self.critic = critic
        self.threshold = RunningQuantile(math.log(LOWEST), math.log(HIGHEST))


class Phanes(ReversedAutoEncoder):
    """Bercea's PHANES. Maps: `phanes`, its own; `norm95`, the autoencoder's suspicion; `mask`, what was inpainted."""

    name = "phanes"
    title = "Reversed autoencoder that finds, inpainter that replaces"
    citation = (
        "Bercea, Wiestler, Rueckert, Schnabel. Reversing the Abnormal: Pseudo-Healthy Generative Networks for "
        "Anomaly Detection. MICCAI 2023 (arXiv 2303.08452). Inpainter: Zeng, Fu, Chao, Guo. Aggregated Contextual "
        "Transformations for High-Resolution Image Inpainting. TVCG 2022."
    )
    deviations: ClassVar[tuple[str, ...]] = (
        "Style and perceptual loss use the method's own frozen encoder, on all of its levels, not VGG; so do perceptual "
        "maps, which are LPIPS with `perceptual_weights` only.",
        "The inpainter learns after the autoencoder; the released code trains both in every step.",
        "The threshold is a quantile of suspicion over healthy training pixels, in training and at detection; "
        "the published one was read off validation images.",
        "Pixels under the threshold are set to 0 before the mask is smoothed; the released code keeps their values, "
        "and smooths across the images of a batch.",
        "Masks are cut to the roi, and every loss but the critic's is of the image inside the roi.",
        "The generator's tanh is stretched to grey values of 0 to 1.5, which are 0 to 1 in the original.",
        "The critic's Gaussian ends at three standard deviations, and the generator begins with He's weights.",
        "Masks are made of the image drawn from the mean code; the released code draws at random, as `samples=1` does "
        "at detection.",
        "The 95th percentile of the residual is taken inside the roi, not over the whole picture.",
        "Equalised images are 0 outside the roi, and perceptual maps are smoothed inside it only, out to three standard deviations.",
        "Learning rates of the paper preset stay; one that falls to a tenth at epoch 100 is told of the first stage. They rise over the first 25 steps of every stage.",
        "Ellipses have the sizes of 128 pixels in the cpu preset, too, whose images have 64.",
        "The image score is the map's mean inside the roi, after the median filter that all maps here pass, not over the whole picture.",
        "The scale of the autoencoder's losses is one over all numbers of an image; the original leaves out the channels.",
        "Log variances are kept within plus and minus 10.",
        "The weights kept are the last, averaged ones of each stage; training length comes from the budget; no "
        "random affine augmentation.",
        "The tiny, cpu and gpu presets have the smaller autoencoder of `ra`, fewer channels and blocks, a higher learning "
        "rate on a cosine, less weight on style, losses of the composite alone, and own masks in a quarter of a batch.",
        "`condition=true`, off by default, tells the autoencoder the modality of every image; the published one is not told.",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {
            **ReversedAutoEncoder.presets["tiny"], **SMALL_INPAINTER, "latent": 8, "generator_width": 4, "blocks": 1,
            "dilations": (1, 2), "critic_widths": (4, 8, 8), "critic_blur": 2.5, "half_axis_spread": 2.0,
            "mask_smoothing": 0.6,
        },
        "cpu": {
            **ReversedAutoEncoder.presets["cpu"], **SMALL_INPAINTER, "generator_width": 16, "blocks": 4,
            "dilations": (1, 2, 4), "critic_widths": (16, 32, 64), "critic_blur": 5.0,
        },
        "gpu": {
            **ReversedAutoEncoder.presets["gpu"], **SMALL_INPAINTER, "generator_width": 32, "blocks": 6,
            "critic_widths": (32, 64, 128, 256), "inpainting_rate": 1e-3,
        },
        "paper": {**ReversedAutoEncoder.presets["paper"]},
    }  # fmt: skip
    native = {"rule": "map:phanes", "pool": "mean"}
    Config = PhanesConfig
    config: PhanesConfig

    def build(self) -> nn.Module:
        """Parts `encoder`, `decoder`, `generator`, `critic` and `threshold`, which has no parameters."""
        config, spec = self.config, self.spec
        autoencoder = super().build()
        assert isinstance(autoencoder, IntrospectiveNetwork)
        widest, halvings = max(config.dilations), len(config.critic_widths) - 1
        if spec.size // 4 <= widest:
            raise BadInput(
                f"{self.name}: a dilation of {widest} needs more than {4 * widest} pixels a side, not {spec.size}; "
                "set method.dilations or recipe.size"
            )
        if spec.size >> halvings < 3:
            raise BadInput(
                f"{self.name}: the critic halves images {halvings} times, which leaves less than 3 of {spec.size} "
                "pixels a side; shorten method.critic_widths or set recipe.size"
            )
        return PhanesNetwork(
            autoencoder,
            generator=AOTGenerator(
                spec.channels,
                width=config.generator_width,
                blocks=config.blocks,
                dilations=config.dilations,
                ceiling=config.ceiling,
                dims=spec.dims,
            ),
            critic=PatchCritic(spec.channels, widths=config.critic_widths, dims=spec.dims),
        )

    def stages(self) -> list[Stage]:
        """Those of the reversed autoencoder; then `inpainting`, with all of it frozen."""
        config = self.config
        adam = partial(torch.optim.Adam, lr=config.inpainting_rate)
        generator = Phase(
            name="generator", parts=("generator", "threshold"), loss=self._generator_turn, optimizer=adam
        )
        critic = Phase(
            name="critic", parts=("critic",), loss=self._critic_turn, optimizer=adam, same_batch=True
        )
        inpainting = Stage(
            name="inpainting",
            phases=(generator, critic) if config.adversarial else (generator,),
            share=config.inpainting,
            schedule=RATES[config.inpainting_schedule],
        )
        before = [replace(one, share=one.share * (1.0 - config.inpainting)) for one in super().stages()]
        return [*before, inpainting]

    def _ask(
        self,
        network: IntrospectiveNetwork,
        images: Tensor,
        roi: Tensor,
        noise: Tensor,
        wants: Wants,
    ) -> Evidence:
        """Find with the autoencoder, replace with the inpainter."""
        assert isinstance(network, PhanesNetwork)
        # The code of what the autoencoder draws is not asked for, either: that of the inpainted image counts.
        found = super()._ask(network, images, roi, noise, _suspicion_alone)
        suspicion = found.maps["norm95"]
        mask = self._mask(network, suspicion, roi, self.config.quantile)
        healthy = torch.where(mask, network.generator(images, mask), images)
        change = (images - healthy).abs().mean(1) * self._perceptual(network, images, healthy, roi)
        return Evidence(
            healthy=healthy,
            maps={"phanes": change, "norm95": suspicion, "mask": mask[:, 0].float()},
            latent={**found.latent, **self._codes_of(network, healthy, wants)},
        )

    def _mask(self, network: PhanesNetwork, suspicion: Tensor, roi: Tensor, share: float) -> Tensor:
        """Where suspicion (B, ...) is above its threshold, and a little around: (B, 1, ...) bool, in the roi."""
        config = self.config
        if config.threshold == "training":
            above = suspicion > network.threshold.read(share).exp()
        else:
            limits = [own_quantile(one[own], share) for one, own in zip(suspicion, roi[:, 0], strict=True)]
            above = suspicion > torch.stack(limits).reshape(-1, *[1] * (suspicion.ndim - 1))
        above = above[:, None] & roi
        return (gaussian_blur(above.float(), config.mask_smoothing) > config.mask_level) & roi

    @torch.no_grad()
    def _training_masks(
        self, network: PhanesNetwork, images: Tensor, roi: Tensor, context: StepContext
    ) -> tuple[Tensor, Tensor]:
        """The whole masks, and the random part of them: (B, 1, ...) bool. The threshold learns on the way."""
        config = self.config
        random = random_ellipses(
            roi,
            number=config.ellipses,
            mean=config.half_axis,
            spread=config.half_axis_spread,
            least=config.half_axis_least,
            generator=context.generator,
        )
        some = slice(math.ceil(config.own_masks * len(images)))
        few = network.told_of(some)
        # At detection nothing is computed in bfloat16: the threshold should not be learnt there.
        with torch.autocast(images.device.type, enabled=False):
            redrawn = few(images[some]) * roi[some]
            suspicion = self._maps(few, images[some], redrawn, roi[some], _suspicion_alone)["norm95"]
            if network.threshold.training:
                network.threshold.add(suspicion[roi[some, 0]].clamp(min=LOWEST).log())
            own = self._mask(network, suspicion, roi[some], config.training_quantile)
        whole = random.clone()
        whole[some] |= own
        return whole, random

    def _generator_turn(self, network: nn.Module, batch: Batch, context: StepContext) -> Mapping[str, Tensor]:
        """Whole images from images with holes: equal, alike to the encoder, and not told apart by the critic."""
        network = self.told(network, batch)
        assert isinstance(network, PhanesNetwork)
        config, roi = self.config, batch.roi
        images = batch.images * roi
        whole, random = self._training_masks(network, images, roi, context)
        drawn = network.generator(images, whole) * roi
        composite = torch.where(whole, drawn, images)
        context.shared.update(
            composite=composite.detach(), mask=random if config.critic_target == "random" else whole
        )
        error = (drawn - images).abs()
        hole = roi_mean(error, whole)
        terms = {"absolute": roi_mean(error, roi) if config.judged == "whole" else hole}
        if config.style or config.perceptual:
            with torch.no_grad():
                wanted = network.taps(images)
            seen = network.taps(drawn if config.judged == "whole" else composite)
            terms.update(style=style_loss(seen, wanted), perceptual=content_loss(seen, wanted))
        if config.adversarial:
            goal = 0.0 if config.adversarial_goal == "real" else 1.0
            terms["adversarial"] = deception_loss(network.critic(composite), whole, goal=goal)
        loss = sum(getattr(config, name) * value for name, value in terms.items())
        assert isinstance(loss, Tensor)
        masked = (whole.sum() / roi.sum().clamp(min=1)).float()
        return {"loss": loss, "reconstruction": hole, "masked": masked, **terms}

    def _critic_turn(self, network: nn.Module, batch: Batch, context: StepContext) -> Mapping[str, Tensor]:
        """Where the composite was drawn, and that nothing was in the real image."""
        network = self.told(network, batch)
        assert isinstance(network, PhanesNetwork)
        images = batch.images * batch.roi
        if not context.shared:
            # Asked alone.
            with torch.no_grad():
                self._generator_turn(network, batch, context)
        composite, mask = context.shared["composite"], context.shared["mask"]
        on_drawn, on_real = network.critic(torch.cat([composite, images])).chunk(2)
        loss = critic_loss(on_drawn, on_real, mask, self.config.critic_blur)
        return {"loss": loss, "reconstruction": roi_mean((composite - images).abs(), mask)}


def own_quantile(values: Tensor, share: float) -> Tensor:
    """A quantile of an image's own values, (n,); 0 without any."""
    return torch.quantile(values, share) if values.numel() else values.new_zeros(())


def _suspicion_alone(*names: str) -> bool:
    """Of the maps and codes of `ra` only the map that masks are made of is read."""
    return "norm95" in names
