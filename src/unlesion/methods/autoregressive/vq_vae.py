"""VQ-VAE with an autoregressive prior: unlikely codes are drawn anew, and what changes was unusual."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from unlesion.errors import BadInput
from unlesion.methods.autoregressive.prior import TokenPrior
from unlesion.methods.base import Method, MethodConfig, Phase, Stage, StepContext
from unlesion.methods.batch import Batch, Evidence
from unlesion.methods.sizes import coarsest_grid
from unlesion.networks.layers import layer
from unlesion.networks.modes import asking
from unlesion.networks.quantiser import Codebook, straight_through
from unlesion.networks.roi import roi_mean
from unlesion.networks.smoothing import blur_inside
from unlesion.networks.vq_convolutions import VQDecoder, VQEncoder

# Codes that nothing chooses start anew in this first part of their stage; later all have to settle.
REVIVING = 0.5


class VQVAEConfig(MethodConfig):
    """Settings of `VQVAE`; the defaults are those of the `paper` preset.

    Attributes:
        widths: channels of the levels, each of which halves the image.
        units: residual units per level.
        codes: vectors in the codebook, K.
        code_width: numbers in a vector.
        decay: of the moving sums that the codebook is made of.
        commitment: weight of the encoder's distance from the codebook.
        plain: first part of the first stage, as a share, in which features are not quantised; the codebook then
            starts from features that mean something. 0 quantises from the beginning, as published.
        revive: in the first half of its stage a vector chosen less often than this part of its fair share
            starts anew; 0 never, as published.
        learning_rate: of the first stage (Adam).
        prior_width: numbers per token in the transformers.
        prior_depth: their blocks.
        prior_heads: their attention heads.
        prior_rate: learning rate of the second stage (Adam).
        prior_share: part of the budget that goes into the transformers.
        orders: how many orders of the tokens, each with a transformer of its own; up to 8 for slices.
        deal: each transformer learns from a part of a batch instead of all of it, so that a step costs as much as
            with one order; not with agree = "mean".
        flag: a token is unlikely below a "fixed" probability, or below a "quantile" of the log
            probabilities of healthy training tokens.
        flag_probability: the fixed probability.
        flag_share: the quantile, as a share of training tokens inside the roi.
        agree: flags are raised by "each" order on its own, or by all on the "mean" of their log
            probabilities.
        samples: drawn tokens per order, averaged; 0 takes the likeliest token.
        smooth: standard deviation of the Gaussian that softens the mask of flags, in tokens.
    """

    # The quantile is learnt of whatever tokens are flagged by; which of it is read is decided at detection.
    at_detection: ClassVar[frozenset[str]] = frozenset(
        {"flag", "flag_probability", "flag_share", "samples", "smooth"}
    )

    widths: tuple[int, ...] = Field((256, 256, 256), min_length=1)
    units: int = Field(2, ge=0)
    codes: int = Field(32, ge=2)
    code_width: int = Field(64, ge=1)
    decay: float = Field(0.5, ge=0, lt=1)
    commitment: float = Field(0.25, ge=0)
    plain: float = Field(0.0, ge=0, lt=1)
    revive: float = Field(0.0, ge=0, lt=1)
    learning_rate: float = Field(5e-4, gt=0)
    prior_width: int = Field(128, ge=1)
    prior_depth: int = Field(16, ge=1)
    prior_heads: int = Field(16, ge=1)
    prior_rate: float = Field(1e-4, gt=0)
    prior_share: float = Field(0.5, gt=0, lt=1)
    orders: int = Field(8, ge=1, le=48)
    deal: bool = False
    flag: Literal["fixed", "quantile"] = "fixed"
    flag_probability: float = Field(0.005, gt=0, lt=1)
    flag_share: float = Field(0.1, gt=0, lt=1)
    agree: Literal["each", "mean"] = "each"
    samples: int = Field(1, ge=0)
    smooth: float = Field(0.5, ge=0)

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> VQVAEConfig:
        if self.prior_width % self.prior_heads:
            raise ValueError("prior_width must be a multiple of prior_heads")
        if self.deal and self.agree == "mean":
            raise ValueError("deal=true gives an image to one order only; agree=mean needs all of them")
        return self


class VQVAENetwork(nn.Module):
    """Encoder, codebook, decoder and the prior of the tokens."""

    def __init__(self, encoder: nn.Module, codebook: Codebook, decoder: nn.Module, prior: TokenPrior) -> None:
        super().__init__()
        self.encoder = encoder
        self.codebook = codebook
        self.decoder = decoder
        self.prior = prior

    def tokens(self, images: Tensor) -> Tensor:
        """(B, C, ...) to the numbers of their codes, (B, grid, ...) int64."""
        found: Tensor = self.codebook(self.encoder(images))
        return found

    def draw(self, tokens: Tensor) -> Tensor:
        """(B, grid, ...) to the images that these codes stand for, (B, C, ...) float32."""
        images: Tensor = self.decoder(self.codebook.lookup(tokens)).float()
        return images

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, ...) to their reconstruction."""
        return self.draw(self.tokens(images))


class VQVAE(Method):
    """Pinaya's model: a VQ-VAE turns images into tokens, transformers find and replace the unlikely ones."""

    name = "vq-vae"
    family = "autoregressive"
    title = "VQ-VAE whose unlikely codes an autoregressive transformer replaces"
    citation = (
        "Pinaya, Tudosiu, Gray, Rees, Nachev, Ourselin, Cardoso. Unsupervised brain imaging 3D anomaly detection "
        "and segmentation with transformers. Medical Image Analysis 2022."
    )
    deviations = (
        "Sizes and rates of the paper preset are reconstructed: the published text was not at hand.",
        "Slices of 128 pixels give 16 x 16 tokens; the paper's slices of 224 pixels give 28 x 28.",
        "The absolute error is averaged over the roi; perceptual and spectral losses are left out.",
        "The codebook starts from encoder outputs, far from each other, instead of random numbers.",
        "The codebook is averaged over the steps like the weights that it has to fit.",
        "Only tokens that touch the roi are flagged; the image's log likelihood counts all tokens.",
        "The mask is smoothed by a Gaussian whose width is ours, in tokens, inside the roi.",
        "The native image score is the top of the map; the published one is minus the log likelihood of all tokens, to which the mean of the map `surprise` is the nearest.",
        "The threshold that is learnt is that of the weights as they learn, though the weights kept are averaged ones.",
        "Both learning rates follow a cosine to 0; training length comes from the budget.",
        "Learning rates rise over the first 25 steps of every stage, here as in all methods.",
        "The cpu and gpu presets begin without quantisation; cpu gives each training image to one order only.",
        "The tiny, cpu and gpu presets are smaller, revive idle codes, and find the threshold on training images.",
    )
    presets = {
        "tiny": {
            "image_size": 32, "batch": 16, "widths": (8, 16), "units": 1, "codes": 8, "code_width": 8,
            "revive": 0.1, "learning_rate": 3e-3, "prior_width": 16, "prior_depth": 2, "prior_heads": 2,
            "prior_rate": 5e-3, "orders": 2, "flag": "quantile", "samples": 0,
        },
        "cpu": {
            "image_size": 64, "batch": 16, "widths": (32, 64), "units": 1, "codes": 64, "code_width": 32,
            "decay": 0.9, "plain": 0.3, "revive": 0.1, "learning_rate": 2e-3, "prior_width": 64,
            "prior_depth": 3, "prior_heads": 4, "prior_rate": 2e-3, "orders": 4, "deal": True,
            "flag": "quantile", "samples": 0,
        },
        "gpu": {
            "image_size": 128, "batch": 32, "widths": (64, 128, 128), "units": 2, "codes": 128,
            "decay": 0.9, "plain": 0.2, "revive": 0.1, "prior_depth": 8, "prior_heads": 8,
            "prior_rate": 5e-4, "orders": 4, "flag": "quantile",
        },
        "paper": {"image_size": 128, "batch": 32},
    }  # fmt: skip
    native = {"rule": "map:masked"}
    version = 3
    reads = frozenset({2})
    Config = VQVAEConfig
    config: VQVAEConfig

    def build(self) -> nn.Module:
        """Parts `encoder`, `codebook`, `decoder` and `prior`."""
        config, spec = self.config, self.spec
        grid = coarsest_grid(spec, len(config.widths), method=self.name)
        possible = math.factorial(spec.dims) << spec.dims
        if config.orders > possible:
            raise BadInput(
                f"{self.name}: tokens in {spec.dims} dimensions have {possible} orders, not {config.orders}; "
                f"set method.orders to {possible} at most"
            )
        widths, units, width = config.widths, config.units, config.code_width
        return VQVAENetwork(
            VQEncoder(spec.channels, widths=widths, units=units, code_width=width, dims=spec.dims),
            Codebook(config.codes, width, decay=config.decay),
            VQDecoder(spec.channels, widths=widths, units=units, code_width=width, dims=spec.dims),
            TokenPrior(
                config.codes,
                grid,
                dims=spec.dims,
                orders=config.orders,
                width=config.prior_width,
                depth=config.prior_depth,
                heads=config.prior_heads,
            ),
        )

    def stages(self) -> list[Stage]:
        """The VQ-VAE, then the transformers on its tokens."""
        config = self.config
        compress = Phase(
            name="compress",
            parts=("encoder", "decoder"),
            loss=self._compress,
            optimizer=partial(torch.optim.Adam, lr=config.learning_rate),
        )
        foretell = Phase(
            name="foretell",
            parts=("prior",),
            loss=self._foretell,
            optimizer=partial(torch.optim.Adam, lr=config.prior_rate),
        )
        share = config.prior_share
        return [
            Stage(name="vq-vae", phases=(compress,), share=1.0 - share, schedule=cosine),
            Stage(name="prior", phases=(foretell,), share=share, schedule=cosine),
        ]

    def _compress(self, network: nn.Module, batch: Batch, context: StepContext) -> Mapping[str, Tensor]:
        """Absolute error and commitment; the codebook follows by itself."""
        assert isinstance(network, VQVAENetwork)
        images = batch.images * batch.roi
        features = network.encoder(images).float()
        if context.progress < self.config.plain:
            error = roi_mean((network.decoder(features).float() - images).abs(), batch.roi)
            return {"loss": error, "error": error}
        if network.encoder.training and not network.codebook.started:
            # Before anything is drawn with it: random vectors would throw off a decoder that has learnt.
            network.codebook.start(features.detach(), generator=context.generator)
        tokens = network.codebook(features)
        quantised = network.codebook.lookup(tokens)
        if network.encoder.training:
            revive = self.config.revive if context.progress < REVIVING else 0.0
            network.codebook.learn(features.detach(), tokens, generator=context.generator, revive=revive)
        drawn = network.decoder(straight_through(features, quantised)).float()
        error = roi_mean((drawn - images).abs(), batch.roi)
        commitment = (features - quantised).square().mean()
        shares = torch.bincount(tokens.flatten(), minlength=self.config.codes) / tokens.numel()
        return {
            "loss": error + self.config.commitment * commitment,
            "error": error,
            "commitment": commitment,
            # So many codes would be in use if all were used alike.
            "codes": torch.special.entr(shares).sum().exp(),
        }

    def _foretell(self, network: nn.Module, batch: Batch, context: StepContext) -> Mapping[str, Tensor]:
        """Cross-entropy of every token given those before it, mean over places and orders."""
        assert isinstance(network, VQVAENetwork)
        images = batch.images * batch.roi
        # In full precision, as at detection: which of two codes is nearer may hang on the last digits.
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            tokens = network.tokens(images.float()).flatten(1)
        inside = self._inside(batch.roi)
        if self.config.deal:
            hands = [slice(order, None, self.config.orders) for order in range(self.config.orders)]
            # An order whose hand is empty, in a batch of few images, learns nothing in this step.
            found = torch.cat(
                [network.prior.log_probabilities(tokens[hand], order) for order, hand in enumerate(hands)]
            )[:, None]
            inside = torch.cat([inside[hand] for hand in hands])
        else:
            found = network.prior(tokens)
        if network.prior.training:
            judged = self._judged(found.detach())
            network.prior.quantile.add(judged[inside.expand_as(judged)])
        return {"loss": -found.mean()}

    def explain(self, network: nn.Module, batch: Batch) -> Evidence:
        """Flag unlikely tokens, replace them in every order, draw, and compare under the mask of flags."""
        assert isinstance(network, VQVAENetwork)
        prior = network.prior
        images = batch.images * batch.roi
        with asking(network):
            grid = network.tokens(images)
            tokens = grid.flatten(1)
            found = prior(tokens)
            flags = self._judged(found) < self._threshold(prior)
            flags = flags & self._inside(batch.roi)
            plain = network.draw(grid) * batch.roi
            healthy, masked, change = (torch.zeros_like(images) for _ in range(3))
            draws = self._draws(batch, tokens)
            for order, uniform in draws:
                flagged = flags[:, order % flags.shape[1]]
                healed = prior.heal(tokens, flagged, order, uniform)
                drawn = network.draw(healed.reshape(grid.shape)) * batch.roi
                mask = self._mask(flagged.reshape(grid.shape), batch.roi)
                healthy += drawn / len(draws)
                masked += (images - drawn).abs() * mask / len(draws)
                change += (plain - drawn).abs() / len(draws)
            unlikely = -found.mean(1)
            surprise = self._spread(unlikely.reshape(len(grid), 1, *grid.shape[1:]), batch.roi)
        return Evidence(
            healthy=healthy,
            maps={"masked": masked.mean(1), "change": change.mean(1), "surprise": surprise[:, 0]},
            latent={"surprise": unlikely.sum(1, keepdim=True)},
        )

    def _judged(self, found: Tensor) -> Tensor:
        """The log probabilities by which tokens are flagged: (B, orders, L) to the same or (B, 1, L)."""
        return found.mean(1, keepdim=True) if self.config.agree == "mean" else found

    def _threshold(self, prior: TokenPrior) -> Tensor | float:
        config = self.config
        return (
            math.log(config.flag_probability)
            if config.flag == "fixed"
            else prior.quantile.read(config.flag_share)
        )

    def _inside(self, roi: Tensor) -> Tensor:
        """(B, 1, ...) to (B, 1, L): whether a token's pixels touch the roi."""
        factor = 1 << len(self.config.widths)
        pooled: Tensor = layer("MaxPool", self.spec.dims)(factor)(roi.float())
        return pooled.flatten(2) > 0

    def _mask(self, flagged: Tensor, roi: Tensor) -> Tensor:
        """(B, grid, ...) bool to the softened mask on pixels, (B, 1, ...) in 0 to 1."""
        factor = 1 << len(self.config.widths)
        pixels = nn.functional.interpolate(flagged[:, None].float(), scale_factor=factor, mode="nearest")
        return blur_inside(pixels, roi, self.config.smooth * factor)

    def _spread(self, values: Tensor, roi: Tensor) -> Tensor:
        """(B, 1, grid, ...) to pixels, linearly."""
        mode = "bilinear" if self.spec.dims == 2 else "trilinear"
        return nn.functional.interpolate(values, size=roi.shape[2:], mode=mode, align_corners=False) * roi

    def _draws(self, batch: Batch, tokens: Tensor) -> list[tuple[int, Tensor | None]]:
        """Order and random numbers of every healing."""
        orders, samples = range(self.config.orders), self.config.samples
        if not samples:
            return [(order, None) for order in orders]
        normal = batch.noise((len(orders), samples, tokens.shape[1]))
        uniform = torch.special.ndtr(normal).clamp(max=1.0 - 1e-6)
        return [(order, uniform[:, order, sample]) for order in orders for sample in range(samples)]


def cosine(progress: float) -> float:
    """Factor on the learning rate: from 1 to 0."""
    return 0.5 * (1.0 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))
