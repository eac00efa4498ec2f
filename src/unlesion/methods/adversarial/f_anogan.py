"""f-AnoGAN: a generator of healthy images from a Wasserstein game, then an encoder that finds its way in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from unlesion.methods.base import Method, MethodConfig, Phase, Stage, StepContext
from unlesion.methods.batch import Batch, Evidence
from unlesion.methods.rates import constant
from unlesion.methods.sizes import coarsest_grid
from unlesion.networks.draws import normal, uniform
from unlesion.networks.modes import asking
from unlesion.networks.wasserstein import BoundedEncoder, Critic, Generator, gradient_penalty


class FastAnoGANConfig(MethodConfig):
    """Settings of `FastAnoGAN`; the defaults are the published ones.

    Attributes:
        widths: channels of the critic's and encoder's first convolution, then after each block, each of which
            halves the image; the generator's in reverse.
        coarse: halve images in the first convolution and double them before the last: a quarter of the work, and
            the finest detail is lost; False is as published.
        latent: numbers in the code.
        critic_steps: of the critic for one of the generator.
        penalty: weight of the gradient penalty.
        kappa: weight of the critic's features, beside the image, in the encoder's loss and the score.
        learning_rate: of generator and critic (Adam).
        momentum: first beta of Adam in the game.
        encoder_rate: learning rate of the encoder (Adam).
        encoder_momentum: first beta of the encoder's Adam.
        masked: cut drawn images to the roi of the image beside them, so that nobody has to learn outlines; False
            learns whole pictures, whose background is 0, as published.
        schedule: of the learning rates: "constant" or "cosine" to 0.
        game: share of the budget that goes into the game, the rest into the encoder.
        ceiling: the brightest grey value that can be drawn; 1.5 is the brightest that recipes leave.
    """

    widths: tuple[int, ...] = Field((64, 128, 256, 512, 512), min_length=2)
    coarse: bool = False
    latent: int = Field(128, ge=1)
    critic_steps: int = Field(5, ge=1)
    penalty: float = Field(10.0, ge=0)
    kappa: float = Field(1.0, ge=0)
    learning_rate: float = Field(2e-4, gt=0)
    momentum: float = Field(0.0, ge=0, lt=1)
    encoder_rate: float = Field(5e-5, gt=0)
    encoder_momentum: float = Field(0.0, ge=0, lt=1)
    masked: bool = False
    schedule: Literal["constant", "cosine"] = "constant"
    game: float = Field(0.8, gt=0, lt=1)
    ceiling: float = Field(1.5, gt=0)


class FastAnoGANNetwork(nn.Module):
    """Generator, critic and encoder."""

    def __init__(self, generator: Generator, critic: Critic, encoder: BoundedEncoder) -> None:
        super().__init__()
        self.generator = generator
        self.critic = critic
        self.encoder = encoder

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, ...) to what the generator draws from their codes, background included."""
        drawn: Tensor = self.generator(self.encoder(images))
        return drawn


class FastAnoGAN(Method):
    """Schlegl's f-AnoGAN with the encoder trained by `izi_f`: image to code to image, and critic's features."""

    name = "f-anogan"
    family = "adversarial"
    title = "Wasserstein generator and an encoder into it"
    citation = (
        "Schlegl, Seeböck, Waldstein, Langs, Schmidt-Erfurth. f-AnoGAN: Fast Unsupervised Anomaly Detection with "
        "Generative Adversarial Networks. Medical Image Analysis 2019. "
        "Gradient penalty and networks: Gulrajani et al., NeurIPS 2017."
    )
    deviations = (
        "The paper learns patches of 64 pixels; here images are learnt whole, at the preset's size.",
        "Generator and encoder normalise by layer, as ports do, so that no image knows of its neighbours.",
        "Drawn grey values come from a sigmoid and reach 1.5; the original has a tanh.",
        "The features are those before the critic's last layer, averaged over all of their numbers.",
        "The native image score is that of the residual; the published one is the mean of the map `izi` (`scoring.rule=map:izi`), which averages the image's part over the roi, not over whole pictures, and here passes the median filter first.",
        "The encoder's Adam has a second momentum of 0.999; that of the game's two is 0.9, as published for all three.",
        "Learning rates rise over the first 25 steps of every stage, here as in all methods.",
        "The weights kept are averaged ones; training length comes from the budget.",
        "The tiny, cpu and gpu presets have fewer channels and a cosine, and cut drawn images to the roi.",
        "The cpu preset halves images in its first convolution; its critic has 3 turns to the generator's one.",
    )
    presets = {
        "tiny": {
            "image_size": 32, "batch": 8, "widths": (8, 8, 16, 16), "latent": 16, "learning_rate": 1e-3,
            "encoder_rate": 1e-3, "encoder_momentum": 0.5, "masked": True, "schedule": "cosine", "game": 0.6,
        },
        "cpu": {
            "image_size": 64, "batch": 8, "widths": (16, 32, 64, 64), "coarse": True, "latent": 64,
            "critic_steps": 3, "learning_rate": 1e-3, "encoder_rate": 5e-4, "encoder_momentum": 0.5,
            "masked": True, "schedule": "cosine",
        },
        "gpu": {
            "image_size": 128, "batch": 32, "widths": (32, 64, 128, 256, 256, 256), "encoder_rate": 2e-4,
            "encoder_momentum": 0.5, "masked": True, "schedule": "cosine",
        },
        "paper": {"image_size": 128, "batch": 64},
    }  # fmt: skip
    native = {"rule": "residual", "pool": "mean"}
    Config = FastAnoGANConfig
    config: FastAnoGANConfig

    def build(self) -> nn.Module:
        """Parts `generator`, `critic` and `encoder`."""
        config, spec = self.config, self.spec
        shape: dict[str, Any] = {
            "widths": config.widths,
            "grid": coarsest_grid(spec, len(config.widths) - 1 + config.coarse, method=self.name),
            "coarse": config.coarse,
            "dims": spec.dims,
        }
        return FastAnoGANNetwork(
            Generator(spec.channels, latent=config.latent, ceiling=config.ceiling, **shape),
            Critic(spec.channels, **shape),
            BoundedEncoder(spec.channels, latent=config.latent, **shape),
        )

    def stages(self) -> list[Stage]:
        """The game between critic and generator; then the encoder, with both of them frozen."""
        config = self.config
        rival = partial(torch.optim.Adam, lr=config.learning_rate, betas=(config.momentum, 0.9))
        finder = partial(torch.optim.Adam, lr=config.encoder_rate, betas=(config.encoder_momentum, 0.999))
        critic = Phase(
            name="critic",
            parts=("critic",),
            loss=self._critic_turn,
            optimizer=rival,
            repeats=config.critic_steps,
        )
        # The generator draws from noise: the batch only says how many images, and is what it is logged against.
        generator = Phase(
            name="generator",
            parts=("generator",),
            loss=self._generator_turn,
            optimizer=rival,
            same_batch=True,
        )
        encoder = Phase(name="encoder", parts=("encoder",), loss=self._encoder_loss, optimizer=finder)
        schedule: Callable[[float], float] | None = constant if config.schedule == "constant" else None
        return [
            Stage(name="game", phases=(critic, generator), share=config.game, schedule=schedule),
            Stage(name="encoder", phases=(encoder,), share=1.0 - config.game, schedule=schedule),
        ]

    def explain(self, network: nn.Module, batch: Batch) -> Evidence:
        """What the generator draws from the encoder's code.

        The map `izi` has, at every pixel of the roi, the squared difference plus kappa times the mean squared
        difference of the critic's features, so that its mean is the published score of an image.
        """
        assert isinstance(network, FastAnoGANNetwork)
        images = batch.images * batch.roi
        with asking(network):
            code = network.encoder(images)
            drawn = self._cut(network.generator(code), batch.roi)
            if not batch.wants("izi", "features"):
                return Evidence(healthy=drawn * batch.roi, latent={"code": code})
            apart = feature_error(network.critic, images, drawn)
        inside = batch.roi[:, 0]
        error = (drawn - images).square().mean(1)
        whole = (self.config.kappa * apart).reshape(-1, *[1] * (error.ndim - 1))
        return Evidence(
            healthy=drawn * batch.roi,
            maps={"izi": (error + whole) * inside},
            latent={"code": code, "features": apart[:, None]},
        )

    def _critic_turn(self, network: nn.Module, batch: Batch, context: StepContext) -> Mapping[str, Tensor]:
        """The negative of the distance between drawn and real images, and the penalty."""
        assert isinstance(network, FastAnoGANNetwork)
        images = batch.images * batch.roi
        with torch.no_grad():
            drawn = self._cut(network.generator(self._codes(images, context)), batch.roi)
        distance = network.critic(images).mean() - network.critic(drawn).mean()
        share = uniform((len(images),), generator=context.generator, device=images.device)
        penalty = gradient_penalty(network.critic, images, drawn, share)
        loss = self.config.penalty * penalty - distance
        return {"loss": loss, "distance": distance, "penalty": penalty}

    def _generator_turn(self, network: nn.Module, batch: Batch, context: StepContext) -> Mapping[str, Tensor]:
        """Images that the critic takes for real."""
        assert isinstance(network, FastAnoGANNetwork)
        images = batch.images * batch.roi
        drawn = self._cut(network.generator(self._codes(images, context)), batch.roi)
        # Neither loss of the game need fall; that the mean drawn image nears the mean real one can be watched.
        mismatch = (drawn.detach().mean(0) - images.mean(0)).square().mean()
        return {"loss": -network.critic(drawn).mean(), "mismatch": mismatch}

    def _encoder_loss(self, network: nn.Module, batch: Batch, context: StepContext) -> Mapping[str, Tensor]:
        """The image, and what the critic sees in it, must come back."""
        assert isinstance(network, FastAnoGANNetwork)
        images = batch.images * batch.roi
        drawn = self._cut(network(images), batch.roi)
        error = (drawn - images).square().mean()
        apart = feature_error(network.critic, images, drawn).mean()
        return {"loss": error + self.config.kappa * apart, "image": error, "features": apart}

    def _cut(self, drawn: Tensor, roi: Tensor) -> Tensor:
        return drawn * roi if self.config.masked else drawn

    def _codes(self, images: Tensor, context: StepContext) -> Tensor:
        shape = (len(images), self.config.latent)
        return normal(shape, generator=context.generator, device=images.device)


def feature_error(critic: Critic, first: Tensor, second: Tensor) -> Tensor:
    """Mean squared difference of the critic's features of two batches: (B,) float32."""
    return (critic.features(first) - critic.features(second)).square().mean(1)
