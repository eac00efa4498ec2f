"""AREPAS: a healthy image is drawn from edges alone, and compared with the scan patch by patch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from unlesion.methods.base import Method, MethodConfig, Phase, Stage, StepContext
from unlesion.methods.batch import Batch, Evidence
from unlesion.methods.rates import RATES
from unlesion.methods.sizes import coarsest_grid, critic_fits
from unlesion.networks.denoising_unet import DenoisingUNet
from unlesion.networks.differences import slopes_inside
from unlesion.networks.draws import uniform
from unlesion.networks.ellipses import random_ellipses
from unlesion.networks.hinge import hinge_critic_loss, hinge_deception_loss
from unlesion.networks.modes import asking
from unlesion.networks.patch_critic import PatchCritic
from unlesion.networks.roi import roi_mean
from unlesion.networks.smoothing import blur_inside
from unlesion.networks.style import content_loss

# The grey values of what spurious contours surround, from black to brighter than most tissue.
BRIGHTEST = 1.2


class ArepasConfig(MethodConfig):
    """Settings of `Arepas`.

    Attributes:
        widths: channels of the generator's levels.
        critic_widths: channels of the critic's convolutions.
        smoothing: Gaussian blur of the image before its edges are taken, in pixels.
        knee: steepness, in grey values per pixel, at which an edge is drawn half as strong as the strongest: a
            small one leaves nothing of how bright something is against its surroundings.
        spurious: share of training images that get contours of things that are not there.
        contours: ellipses that make them, all of one grey value; their centres lie in the middle half of the picture.
        half_axis: mean of the normal distribution whose magnitude their half axes have, in pixels.
        half_axis_spread: its standard deviation.
        absolute: weight of the absolute error.
        perceptual: weight of the difference of the critic's features; without a critic (`adversarial` 0) there are none.
        adversarial: weight of the critic's judgement; 0 trains no critic.
        learning_rate: of generator and critic (Adam).
        first_moment: Adam's decay of the mean gradient.
    """

    widths: tuple[int, ...] = Field((64, 128, 256, 512), min_length=2)
    critic_widths: tuple[int, ...] = Field((64, 128, 256, 512), min_length=1)
    smoothing: float = Field(2.0, ge=0)
    knee: float = Field(0.02, gt=0)
    spurious: float = Field(0.0, ge=0, le=1)
    contours: int = Field(2, ge=1)
    half_axis: float = Field(6.0, ge=0)
    half_axis_spread: float = Field(6.0, ge=0)
    absolute: float = Field(1.0, ge=0)
    perceptual: float = Field(0.1, ge=0)
    adversarial: float = Field(0.01, ge=0)
    learning_rate: float = Field(2e-4, gt=0)
    first_moment: float = Field(0.5, ge=0, lt=1)


class ArepasNetwork(nn.Module):
    """The generator, and the critic that it plays against."""

    def __init__(self, generator: DenoisingUNet, critic: PatchCritic) -> None:
        super().__init__()
        self.generator = generator
        self.critic = critic

    def draw(self, abstract: Tensor, roi: Tensor) -> Tensor:
        """An image from its edges and its region: (B, C, ...) float32, 0 outside the roi."""
        drawn: Tensor = self.generator(torch.cat([abstract, roi.to(abstract.dtype)], dim=1))
        return drawn.float() * roi


def abstraction(images: Tensor, roi: Tensor, *, smoothing: float, knee: float) -> Tensor:
    """Where the smoothed image is steep, and hardly how steep: s / (s + knee), s the length of its gradient.

    Args:
        images: (B, C, ...).
        roi: (B, 1, ...) bool; its own border is no edge.
        smoothing: standard deviation of the Gaussian, in pixels.
        knee: in grey values per pixel.

    Returns:
        (B, C, ...) float32, 0 to 1.
    """
    with torch.autocast(images.device.type, enabled=False):
        steep = slopes_inside(blur_inside(images.float(), roi, smoothing), roi)
        return steep / (steep + knee)


class Arepas(Method):
    """Translation from edges to the healthy image; native score: patches that nothing nearby resembles."""

    name = "arepas"
    family = "anatomy"
    title = "Healthy image drawn from edges, patches compared with search"
    citation = "Mitic, Langs et al. AREPAS. MICCAI workshop 2025 (arXiv 2509.12905)."
    deviations: ClassVar[tuple[str, ...]] = (
        "Only the paper's abstract and first lines were at hand: networks, abstraction, weights of the losses and sizes are "
        "reconstructed.",
        "The abstraction is the saturated steepness of the smoothed image, one plane a channel, beside the roi; no network "
        "segments tissues or organs.",
        "The perceptual loss is of the critic's own features, not LPIPS, whose weights would have to come from elsewhere.",
        "Patches are compared by fixed filters, not by an encoder trained for it.",
        "Patches lie at every pixel, not at every quarter of their side, and have at least 3 pixels.",
        "The critic's judgement is interpolated to the pixels and averaged inside the roi; so is the absolute error.",
        "The tiny, cpu and gpu presets show half of the training images with contours of grey ellipses that are not "
        "there, so that the generator does not believe every closed contour.",
        "The tiny, cpu and gpu presets have fewer channels and a higher learning rate.",
        "The weights kept are the last, averaged ones; training length comes from the budget.",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {
            "image_size": 32, "batch": 16, "widths": (8, 16), "critic_widths": (8, 16), "smoothing": 0.7,
            "spurious": 0.5, "half_axis": 1.5, "half_axis_spread": 1.5, "learning_rate": 3e-3,
        },
        "cpu": {
            "image_size": 64, "batch": 16, "widths": (16, 32, 64), "critic_widths": (16, 32, 64), "smoothing": 1.0,
            "spurious": 0.5, "half_axis": 3.0, "half_axis_spread": 3.0, "learning_rate": 2e-3,
        },
        "gpu": {
            "image_size": 128, "batch": 32, "widths": (32, 64, 128, 256), "critic_widths": (32, 64, 128, 256),
            "spurious": 0.5, "learning_rate": 5e-4,
        },
        "paper": {"image_size": 128, "batch": 16},
    }  # fmt: skip
    native = {"rule": "patch"}
    Config = ArepasConfig
    config: ArepasConfig

    def build(self) -> nn.Module:
        """Parts `generator` and `critic`, which sees the edges beside the image."""
        config, spec = self.config, self.spec
        coarsest_grid(spec, len(config.widths) - 1, method=self.name)
        critic_fits(spec, config.critic_widths, method=self.name)
        generator = DenoisingUNet(
            spec.channels, widths=config.widths, dims=spec.dims, plain_first=True, extra=1
        )
        critic = PatchCritic(2 * spec.channels, widths=config.critic_widths, dims=spec.dims)
        return ArepasNetwork(generator, critic)

    def stages(self) -> list[Stage]:
        """One stage: generator and critic in turn."""
        config = self.config
        adam = partial(torch.optim.Adam, lr=config.learning_rate, betas=(config.first_moment, 0.999))
        generator = Phase(
            name="generator", parts=("generator",), loss=self._generator_turn, optimizer=adam, clip_norm=1.0
        )
        critic = Phase(
            name="critic", parts=("critic",), loss=self._critic_turn, optimizer=adam, same_batch=True
        )
        phases = (generator, critic) if config.adversarial else (generator,)
        return [Stage(name="train", phases=phases, schedule=RATES["cosine"])]

    def abstract(self, images: Tensor, roi: Tensor) -> Tensor:
        """What is left of images: (B, C, ...) to the same, 0 to 1."""
        return abstraction(images, roi, smoothing=self.config.smoothing, knee=self.config.knee)

    def _disturbed(self, images: Tensor, roi: Tensor, context: StepContext) -> Tensor:
        """Images, some with evenly grey ellipses, whose contours the generator must learn not to believe."""
        config, device = self.config, images.device
        if not config.spurious:
            return images
        inside = random_ellipses(
            roi,
            number=config.contours,
            mean=config.half_axis,
            spread=config.half_axis_spread,
            least=1.0,
            generator=context.generator,
        )
        each = (len(images), *[1] * (images.ndim - 1))
        chosen = uniform(each, generator=context.generator, device=device) < config.spurious
        shape = (len(images), images.shape[1], *[1] * (images.ndim - 2))
        grey = BRIGHTEST * uniform(shape, generator=context.generator, device=device)
        return torch.where(inside & chosen, grey, images)

    def _generator_turn(self, network: nn.Module, batch: Batch, context: StepContext) -> Mapping[str, Tensor]:
        """The image from edges that are not all its own."""
        assert isinstance(network, ArepasNetwork)
        config, roi = self.config, batch.roi
        images = batch.images * roi
        abstract = self.abstract(self._disturbed(images, roi, context), roi)
        drawn = network.draw(abstract, roi)
        terms = {"absolute": roi_mean((drawn - images).abs(), roi)}
        # A critic that is not trained has nothing to say of an image.
        if config.adversarial:
            said, seen = network.critic.looked(torch.cat([abstract, drawn], dim=1))
            if config.perceptual:
                with torch.no_grad():
                    _, wanted = network.critic.looked(torch.cat([abstract, images], dim=1))
                terms["perceptual"] = content_loss(seen, wanted)
            terms["adversarial"] = hinge_deception_loss(said, roi)
            context.shared.update(abstract=abstract, drawn=drawn.detach())
        loss = sum(getattr(config, name) * value for name, value in terms.items())
        assert isinstance(loss, Tensor)
        return {"loss": loss, "reconstruction": terms["absolute"], **terms}

    def _critic_turn(self, network: nn.Module, batch: Batch, context: StepContext) -> Mapping[str, Tensor]:
        """Which of two images that share their edges is real."""
        assert isinstance(network, ArepasNetwork)
        images = batch.images * batch.roi
        if not context.shared:
            # Asked alone.
            with torch.no_grad():
                self._generator_turn(network, batch, context)
        abstract, drawn = context.shared["abstract"], context.shared["drawn"]
        pairs = torch.cat([torch.cat([abstract, one], dim=1) for one in (images, drawn)])
        on_real, on_drawn = network.critic(pairs).chunk(2)
        loss = hinge_critic_loss(on_real, on_drawn, batch.roi)
        return {"loss": loss, "reconstruction": roi_mean((drawn - images).abs(), batch.roi)}

    def explain(self, network: nn.Module, batch: Batch) -> Evidence:
        """The image that the scan's edges make one expect."""
        assert isinstance(network, ArepasNetwork)
        with asking(network):
            drawn = network.draw(self.abstract(batch.images * batch.roi, batch.roi), batch.roi)
        return Evidence(healthy=drawn)
