"""Context-encoding VAE: also learns to fill in what was erased."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field
from torch import Tensor, nn

from unlesion.methods.base import StepContext
from unlesion.methods.batch import Batch, Evidence
from unlesion.methods.variational.gradients import gradient_maps
from unlesion.methods.variational.vae import VariationalAutoEncoder, VariationalConfig
from unlesion.networks.erasing import erase_squares
from unlesion.networks.unrecorded import unrecorded


class ContextEncodingConfig(VariationalConfig):
    """Settings of `ContextEncodingVAE`, beside those of the VAE.

    Attributes:
        context: weight of the branch that fills in erased squares; the VAE's has the rest of 1.
        square: side of an erased square as a share of the image's.
        most: up to so many squares per image, at least one.
    """

    context: float = Field(0.5, ge=0, le=1)
    square: float = Field(20 / 128, gt=0, lt=1)
    most: int = Field(3, ge=1)


class ContextEncodingVAE(VariationalAutoEncoder):
    """VAE and context encoder in one network; the map `combi` is |x - x^| · |dL/dx|, blurred gradient."""

    name = "cevae"
    family = "variational"
    title = "Context-encoding variational autoencoder"
    citation = (
        "Zimmerer, Kohl, Petersen, Isensee, Maier-Hein. Context-encoding Variational Autoencoder for "
        "Unsupervised Anomaly Detection. MIDL 2019 (arXiv 1812.05941)."
    )
    deviations = (
        "Reconstructed on the network of Baur et al.; the original's differs in depth and width.",
        "Both branches' errors are averaged over the roi and weighted one half each.",
        "Squares are drawn anew for every image, one to three of them, within the box around its roi.",
        "Training length and learning-rate cosine come from the budget.",
        "The weights kept are averaged ones, beside the batch statistics of the last; learning rates rise over the first 25 steps, here as in all methods.",
        "`log_sigma` is kept between -8 and 8.",
        "The cpu and gpu presets let `beta` rise at first; all but paper have higher learning rates.",
        "Batch normalisation remembers whole images only, not those with squares.",
        "Gradients are taken at the mean code and blurred; the original averages over drawn codes.",
        "`condition=true`, off by default, tells the network the modality of every image; the published ones are not told.",
    )
    native = {"rule": "map:combi"}
    version = 2
    reads = frozenset({1})
    Config = ContextEncodingConfig
    config: ContextEncodingConfig

    def _loss(self, network: nn.Module, batch: Batch, context: StepContext) -> Mapping[str, Tensor]:
        variational = super()._loss(network, batch, context)
        images = batch.images * batch.roi
        erased = erase_squares(
            images,
            batch.roi,
            side=max(1, round(self.config.square * images.shape[-1])),
            most=self.config.most,
            generator=context.generator,
        )
        # Only the mean code is used here: filling in is no matter of chance. The target is clean. Detection never sees
        # holes, and normalises by what is remembered of whole images.
        with unrecorded(network):
            filled = self.told(network, batch)(erased)
        pixels = (batch.roi.sum() * images.shape[1]).clamp(min=1)
        filling = self._error(filled, images, batch.roi).sum() / pixels
        share = self.config.context
        loss = (1.0 - share) * variational["loss"] + share * filling
        return {**variational, "loss": loss, "context": filling}

    def explain(self, network: nn.Module, batch: Batch) -> Evidence:
        """As the VAE, with the paper's own combined map."""
        config = self.config
        found = gradient_maps(
            self.told(network, batch),
            batch,
            error=self._error,
            beta=config.beta,
            samples=config.samples,
            smoothing=config.smoothing,
        )
        residual = (batch.images * batch.roi - found.healthy).abs()
        return Evidence(
            healthy=found.healthy,
            maps={
                "kl_gradient": found.kl,
                "elbo_gradient": found.elbo,
                "combi": residual.mean(1) * found.elbo,
            },
            latent=found.codes,
        )
