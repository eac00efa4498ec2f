"""Soft-introspective variational autoencoder: the encoder is also the critic of what the decoder draws."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from unlesion.methods.adversarial.network import IntrospectiveNetwork, Seen
from unlesion.methods.base import MethodConfig, Phase, Stage, StepContext
from unlesion.methods.batch import Batch, Evidence, Wants
from unlesion.methods.conditioned import ConditionedConfig, ConditionedMethod
from unlesion.methods.rates import RATES, constant
from unlesion.methods.sizes import coarsest_grid
from unlesion.networks.draws import normal
from unlesion.networks.modes import asking
from unlesion.networks.norms import NormKind
from unlesion.networks.residual import ResidualDecoder, ResidualEncoder
from unlesion.networks.unrecorded import unrecorded

# exp of less is denormal in float32, slow to compute with, and has no gradient to speak of.
LOWEST_EXPONENT = -80.0


class IntrospectiveConfig(ConditionedConfig):
    """Settings of `SoftIntroVAE`; the defaults are the paper's at 128 pixels.

    Attributes:
        widths: channels of the levels, each of which halves the image.
        latent: numbers in the code.
        norm: "batch" is Soft-IntroVAE as published; "frozen" learns a scale and a shift per channel and
            normalises nothing; "group" normalises each image by itself.
        beta_rec: weight of the squared error, summed over an image.
        beta_kl: weight of the divergence from the prior that is made small.
        beta_neg: weight of the divergence, inside the exponential, by which the encoder rejects drawn images.
        repulsion: weight of each of the encoder's two exponentials; much less than the published value leaves
            the game to smaller differences between real and drawn images.
        gamma: weight, beside `beta_rec`, of the decoder redrawing what it drew; 0 saves the time.
        learning_rate: of both optimisers (Adam).
        schedule: of the learning rate in the game: "constant", "step" (a tenth after a fifteenth of the
            steps) or "cosine" to 0.
        clip_norm: largest norm of each optimiser's gradient; None does not clip.
        masked: cut drawn images to the roi of the image beside them in the batch, so that nobody has to learn
            outlines; False learns whole pictures, whose background is 0, as published.
        warmup: share of the budget that goes into a plain variational autoencoder before the game.
        warmup_learning_rate: in that warm-up; None is `learning_rate`.
        warmup_kl: factor on `beta_kl` in that warm-up.
        log_variance_limit: log variances of codes stay within plus and minus this.
        ceiling: the brightest grey value that can be drawn; 1.5 is the brightest that recipes leave.
        samples: images drawn from each code's distribution at detection and averaged; 0 draws from its mean.
    """

    at_detection: ClassVar[frozenset[str]] = frozenset({"samples"})

    widths: tuple[int, ...] = Field((64, 128, 256, 512, 512), min_length=2)
    latent: int = Field(128, ge=1)
    norm: NormKind = "batch"
    beta_rec: float = Field(1.0, ge=0)
    beta_kl: float = Field(1.0, ge=0)
    beta_neg: float = Field(256.0, ge=0)
    repulsion: float = Field(0.25, ge=0)
    gamma: float = Field(1e-8, ge=0)
    learning_rate: float = Field(2e-4, gt=0)
    schedule: Literal["constant", "step", "cosine"] = "constant"
    clip_norm: float | None = Field(None, gt=0)
    masked: bool = False
    warmup: float = Field(0.0, ge=0, lt=1)
    warmup_learning_rate: float | None = Field(None, gt=0)
    warmup_kl: float = Field(1.0, ge=0)
    log_variance_limit: float = Field(10.0, gt=0)
    ceiling: float = Field(1.5, gt=0)
    samples: int = Field(0, ge=0)


# What a training of minutes needs: normalisation, no outlines to learn, a start that can already draw, codes of few nats (with
# many, lesions are drawn too), and a mild game (a strong one draws patterns that no image has).
SMALL: Mapping[str, Any] = {
    "batch": 8,
    "norm": "batch",
    "masked": True,
    "beta_rec": 8.0,
    "repulsion": 0.01,
    "gamma": 0.0,
    "learning_rate": 1e-3,
    "schedule": "cosine",
    "warmup": 0.5,
    "warmup_learning_rate": 2e-3,
    "warmup_kl": 0.5,
}


class SoftIntroVAE(ConditionedMethod):
    """Daniel and Tamar's game: real images get likely codes, drawn ones unlikely, and the decoder resists."""

    name = "si-vae"
    family = "adversarial"
    title = "Soft-introspective variational autoencoder"
    citation = (
        "Daniel, Tamar. Soft-IntroVAE: Analyzing and Improving the Introspective Variational Autoencoder. "
        "CVPR 2021 (arXiv 2012.13253)."
    )
    deviations: ClassVar[tuple[str, ...]] = (
        "Network and sigmoid output are those of the reversed autoencoder, so that the two methods compare.",
        "Running statistics of batch norm are those of real images and their codes; drawn images leave no trace in them.",
        "They follow the last weights, though the weights kept are averaged ones.",
        "Log variances are kept within plus and minus 10.",
        "Detection draws from the mean code; `samples` draws from the distribution.",
        "Grey values reach 1.5 here and 1 in the original.",
        "The weights kept are the last, averaged ones; training length comes from the budget.",
        "The learning rate of the paper preset stays; the original takes a tenth of it after 350 of 400 epochs.",
        "Learning rates rise over the first 25 steps of every stage, here as in all methods.",
        "The tiny, cpu and gpu presets are smaller, begin with a plain variational autoencoder, cut "
        "drawn images to the roi, and weigh the losses differently.",
        "`condition=true`, off by default, tells the network the modality of every image; the published ones are not told.",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {
            **SMALL, "image_size": 32, "widths": (8, 16, 16), "latent": 16, "beta_kl": 0.5, "beta_neg": 16.0,
        },
        "cpu": {
            **SMALL, "image_size": 64, "widths": (8, 16, 32, 64), "latent": 64, "beta_kl": 2.0, "beta_neg": 64.0,
        },
        "gpu": {
            **SMALL, "image_size": 128, "batch": 32, "widths": (32, 64, 128, 256, 256), "beta_kl": 8.0,
            "beta_neg": 256.0,
        },
        "paper": {"image_size": 128, "batch": 8},
    }  # fmt: skip
    native = {"rule": "residual"}
    codes_distribution = True
    # Whether images go through the network one at a time at detection.
    one_by_one: ClassVar[bool] = False
    Config: ClassVar[type[MethodConfig]] = IntrospectiveConfig
    config: IntrospectiveConfig

    def build(self) -> nn.Module:
        """Parts `encoder` and `decoder`."""
        config, spec, told = self.config, self.spec, len(self.conditions)
        shape: dict[str, Any] = {
            "widths": config.widths,
            "grid": coarsest_grid(spec, len(config.widths), method=self.name),
            "norm": config.norm,
            "dims": spec.dims,
        }
        return IntrospectiveNetwork(
            ResidualEncoder(spec.channels + told, latent=config.latent, **shape),
            ResidualDecoder(spec.channels, latent=config.latent + told, ceiling=config.ceiling, **shape),
            log_variance_limit=config.log_variance_limit,
            passes=2 if config.norm == "batch" else 1,
        )

    def stages(self) -> list[Stage]:
        """A plain variational autoencoder for the share `warmup`, then the game of two optimisers."""
        config = self.config
        adam = partial(torch.optim.Adam, lr=config.learning_rate)
        shared: dict[str, Any] = {"optimizer": adam, "clip_norm": config.clip_norm}
        plain = Phase(
            name="elbo",
            parts=("encoder", "decoder"),
            loss=self._plain,
            optimizer=partial(torch.optim.Adam, lr=config.warmup_learning_rate or config.learning_rate),
            clip_norm=config.clip_norm,
        )
        # As published, both parts see the statistics of the batch in both turns.
        encoder = Phase(
            name="encoder", parts=("encoder",), playing=("decoder",), loss=self._encoder_turn, **shared
        )
        decoder = Phase(
            name="decoder",
            parts=("decoder",),
            playing=("encoder",),
            loss=self._decoder_turn,
            same_batch=True,
            **shared,
        )
        game = Stage(
            name="game",
            phases=(encoder, decoder),
            share=1.0 - config.warmup,
            schedule=RATES[config.schedule],
        )
        if not config.warmup:
            return [game]
        return [Stage(name="warmup", phases=(plain,), share=config.warmup, schedule=constant), game]

    def explain(self, network: nn.Module, batch: Batch) -> Evidence:
        """The image drawn from the mean code, or the mean of `samples` drawn ones; and the code."""
        network = self.told(network, batch)
        assert isinstance(network, IntrospectiveNetwork)
        images = batch.images * batch.roi
        samples = self.config.samples
        noise = batch.noise((samples, self.config.latent)) if samples else images.new_zeros(len(batch), 1, 1)
        size = 1 if self.one_by_one else max(1, len(batch))
        with asking(network):
            found = [
                self._ask(network.told_of(rows), images[rows], batch.roi[rows], noise[rows], batch.wants)
                for rows in (slice(start, start + size) for start in range(0, max(1, len(batch)), size))
            ]
        return Evidence(
            healthy=torch.cat([one.healthy for one in found if one.healthy is not None]),
            maps={name: torch.cat([one.maps[name] for one in found]) for name in found[0].maps},
            latent={name: torch.cat([one.latent[name] for one in found]) for name in found[0].latent},
        )

    def _ask(
        self,
        network: IntrospectiveNetwork,
        images: Tensor,
        roi: Tensor,
        noise: Tensor,
        wants: Wants,
    ) -> Evidence:
        """Evidence about images; each row of `noise` (B, samples, latent) draws one more of each."""
        seen = network.encode(images)
        # Noise of 0 is the mean code.
        redrawn = [network.decode(seen.draw(drawn)) * roi for drawn in noise.unbind(1)]
        maps = [self._maps(network, images, healthy, roi, wants) for healthy in redrawn]
        healthy = torch.stack(redrawn).mean(0)
        codes = self._codes_of(network, healthy, wants)
        return Evidence(
            healthy=healthy,
            maps={name: torch.stack([each[name] for each in maps]).mean(0) for name in maps[0]},
            latent={"mu": seen.mean, "log_sigma": seen.log_sigma, **codes},
        )

    def _codes_of(self, network: IntrospectiveNetwork, healthy: Tensor, wants: Wants) -> dict[str, Tensor]:
        """The code of the healthy images, where it will be read."""
        if not wants("mu_redrawn", "log_sigma_redrawn"):
            return {}
        again = network.encode(healthy)
        return {"mu_redrawn": again.mean, "log_sigma_redrawn": again.log_sigma}

    def _maps(
        self,
        network: IntrospectiveNetwork,
        images: Tensor,
        healthy: Tensor,
        roi: Tensor,
        wants: Wants,
    ) -> dict[str, Tensor]:
        """The method's own maps of one drawn image: none here, the residual is the published score."""
        return {}

    def _plain(self, network: nn.Module, batch: Batch, context: StepContext) -> Mapping[str, Tensor]:
        """The evidence lower bound."""
        network = self.told(network, batch)
        assert isinstance(network, IntrospectiveNetwork)
        images = batch.images * batch.roi
        seen = network.encode(images)
        drawn = self._cut(network.decode(seen.draw(_noise(seen.mean, context))), batch.roi)
        error, kl = squared_error(drawn, images).mean(), seen.divergence().mean()
        config = self.config
        loss = self._scale * (config.beta_rec * error + config.warmup_kl * config.beta_kl * kl)
        return {"loss": loss, "reconstruction": self._scale * error, "kl": kl}

    def _encoder_turn(self, network: nn.Module, batch: Batch, context: StepContext) -> Mapping[str, Tensor]:
        """Likely codes for real images, unlikely ones for drawn and redrawn images."""
        network = self.told(network, batch)
        assert isinstance(network, IntrospectiveNetwork)
        config, scale = self.config, self._scale
        images = batch.images * batch.roi
        seen = network.encode(images)
        code = seen.draw(_noise(seen.mean, context))
        prior = _noise(seen.mean, context)
        # The decoder's turn draws from the same numbers.
        context.shared.update(code=code.detach(), prior=prior)
        redrawn = self._cut(network.decode(code), batch.roi)
        # Detection meets real images and their codes only: no others leave traces in running statistics.
        with unrecorded(network):
            with torch.no_grad():
                fake = self._cut(network.decode(prior), batch.roi)
            both = torch.cat([redrawn, fake])
            seen_both = network.encode_both(both.detach())
            drawn_both = network.decode_both(seen_both.draw(_noise(seen_both.mean, context)))
        drawn_both = self._cut(drawn_both, batch.roi)
        # The target is not detached: through it, too, the encoder learns to redraw real images.
        kept = self._soft_exponential(squared_error(drawn_both, both), seen_both.divergence())
        error, kl = squared_error(redrawn, images).mean(), seen.divergence().mean()
        kl_redrawn, kl_fake = seen_both.divergence().detach().chunk(2)
        # The mean over both kinds holds half of each kind's mean.
        loss = scale * (config.beta_rec * error + config.beta_kl * kl) + 2.0 * config.repulsion * kept.mean()
        logged = {
            "reconstruction": scale * error,
            "kl_real": kl,
            "kl_redrawn": kl_redrawn.mean(),
            "kl_fake": kl_fake.mean(),
            "kept": kept.mean(),
        }
        extra = self._encoder_extra(seen, seen_both)
        return {"loss": loss + sum(extra.values()), **logged, **extra}

    def _encoder_extra(self, seen: Seen, seen_both: Seen) -> dict[str, Tensor]:
        """Further losses of the encoder, already weighted; `seen_both` has redrawn images, then drawn ones."""
        return {}

    def _decoder_turn(self, network: nn.Module, batch: Batch, context: StepContext) -> Mapping[str, Tensor]:
        """Images to which the encoder gives likely codes."""
        network = self.told(network, batch)
        assert isinstance(network, IntrospectiveNetwork)
        config, scale = self.config, self._scale
        images = batch.images * batch.roi
        code, prior = self._codes(network, images, context)
        with unrecorded(network):
            both = self._cut(network.decode_both(torch.cat([code, prior])), batch.roi)
            seen_both = network.encode_both(both)
        kl = seen_both.divergence().mean()
        error = squared_error(both[: len(images)], images).mean()
        loss = scale * (config.beta_rec * error + config.beta_kl * kl)
        if config.gamma:
            codes = seen_both.draw(_noise(seen_both.mean, context)).detach()
            with unrecorded(network):
                again = squared_error(self._cut(network.decode_both(codes), batch.roi), both.detach()).mean()
            loss = loss + scale * config.gamma * config.beta_rec * again
        return {"loss": loss, "reconstruction": scale * error, "kl": kl}

    def _cut(self, drawn: Tensor, roi: Tensor) -> Tensor:
        """Drawn images, one or two batches of them, without what lies outside the batch's roi."""
        if not self.config.masked:
            return drawn
        return drawn * roi.repeat(len(drawn) // max(1, len(roi)), *[1] * (roi.ndim - 1))

    def _codes(
        self, network: IntrospectiveNetwork, images: Tensor, context: StepContext
    ) -> tuple[Tensor, Tensor]:
        """The codes and the prior's draws of the encoder's turn; its own in a turn that is asked alone."""
        if not context.shared:
            with torch.no_grad():
                seen = network.encode(images)
            code = seen.draw(_noise(seen.mean, context))
            return code, _noise(seen.mean, context)
        return context.shared["code"], context.shared["prior"]

    def _soft_exponential(self, error: Tensor, kl: Tensor) -> Tensor:
        """exp(-2 s (beta_rec · error + beta_neg · KL)) of each image, (B,) in (0, 1]."""
        exponent = -2.0 * self._scale * (self.config.beta_rec * error + self.config.beta_neg * kl)
        return torch.exp(exponent.clamp(min=LOWEST_EXPONENT))

    @property
    def _scale(self) -> float:
        """One over the numbers of an image."""
        return 1.0 / (self.spec.channels * self.spec.size**self.spec.dims)


def squared_error(first: Tensor, second: Tensor) -> Tensor:
    """Summed over all pixels of an image, background included: (B,) float32."""
    return (first.float() - second.float()).square().flatten(1).sum(1)


def _noise(like: Tensor, context: StepContext) -> Tensor:
    return normal(tuple(like.shape), generator=context.generator, device=like.device)
