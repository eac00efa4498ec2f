"""Reversed autoencoder: an introspective game whose encoder sees an image and its redrawing alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from unlesion.errors import BadInput
from unlesion.methods.adversarial.network import IntrospectiveNetwork, Seen
from unlesion.methods.adversarial.si_vae import IntrospectiveConfig, SoftIntroVAE
from unlesion.methods.base import MethodConfig, Stage
from unlesion.methods.batch import Wants
from unlesion.networks.adaptive_equalise import adaptive_equalise
from unlesion.networks.lpips import LPIPS
from unlesion.networks.norms import NormKind
from unlesion.networks.perceptual import feature_distance
from unlesion.networks.residual import Taps
from unlesion.networks.smoothing import blur_inside
from unlesion.networks.squeezenet import SMALLEST_SIDE


class ReversedConfig(IntrospectiveConfig):
    """Settings of `ReversedAutoEncoder`, beside those of `SoftIntroVAE`; the defaults are the released code's.

    Attributes:
        norm: "frozen" is what the released code comes to, because its networks never leave evaluation mode.
        embedding: weight of the reversed embedding loss.
        features: "unit" compares directions of feature vectors, as LPIPS does; "plain" the vectors themselves,
            so that strong features count more.
        smoothing: Gaussian blur of the perceptual maps, in pixels.
        perceptual_weights: two files with the weights of torchvision's SqueezeNet 1.1 and of LPIPS for it; perceptual
            maps are then LPIPS, as published, and `features` is not used. The run keeps a copy of the weights.
    """

    at_detection: ClassVar[frozenset[str]] = frozenset({"samples", "features", "smoothing"})

    norm: NormKind = "frozen"
    beta_rec: float = Field(0.5, ge=0)
    beta_neg: float = Field(128.0, ge=0)
    learning_rate: float = Field(5e-5, gt=0)
    embedding: float = Field(0.005, ge=0)
    features: Literal["unit", "plain"] = "unit"
    smoothing: float = Field(2.0, ge=0)
    perceptual_weights: tuple[Path, Path] | None = None

    came_later: ClassVar[tuple[str, ...]] = ("condition", "perceptual_weights")


class ReversedAutoEncoder(SoftIntroVAE):
    """Bercea's RA. Maps: `norm95`, the equalised residual times a perceptual map; `midl`, times two; ours: `plain95`."""

    name = "ra"
    family = "adversarial"
    title = "Reversed autoencoder"
    citation = (
        "Bercea, Wiestler, Rueckert, Schnabel. Generalizing Unsupervised Anomaly Detection: Towards Unbiased "
        "Pathology Screening. MIDL 2023; Towards Universal Unsupervised Anomaly Detection in Medical Imaging. "
        "arXiv 2401.10637."
    )
    deviations: ClassVar[tuple[str, ...]] = (
        "The native map is `norm95`, that of the later paper; `midl` ranks gliomas far worse (chosen on val).",
        "Perceptual maps compare the method's own encoder features; LPIPS with `perceptual_weights` only, for nothing is downloaded.",
        "Detection draws from the mean code; the released evaluation draws at random, as `samples=1` does.",
        "The 95th percentile of `norm95` is taken inside the roi, not over the whole picture.",
        "Equalised images are 0 outside the roi, and perceptual maps are smoothed inside it only, out to three standard deviations.",
        "The image score is the map's mean inside the roi, after the median filter that all maps here pass, not over the whole picture.",
        "The scale of the losses is one over all numbers of an image; the original leaves out the channels.",
        "Running statistics of batch norm, where it is used, are those of real images and their codes, and of the last weights, though those kept are averaged.",
        "Log variances are kept within plus and minus 10.",
        "Grey values reach 1.5 here and 1 in the original.",
        "The weights kept are the last, averaged ones; the original chooses on noisy validation errors.",
        "Training length comes from the budget; no random affine augmentation.",
        "Learning rates rise over the first 25 steps of every stage, here as in all methods.",
        "With the weights of the tiny, cpu and gpu presets codes of drawn images are not always less likely than those of real ones; with the published `repulsion` they are.",
        "The tiny, cpu and gpu presets are smaller, begin with a plain variational autoencoder, normalise by batches, cut "
        "drawn images to the roi, and weigh the losses differently.",
        "`condition=true`, off by default, tells the network the modality of every image; the published ones are not told.",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {**SoftIntroVAE.presets["tiny"], "features": "plain", "smoothing": 0.5},
        "cpu": {**SoftIntroVAE.presets["cpu"], "features": "plain", "smoothing": 1.0},
        "gpu": {**SoftIntroVAE.presets["gpu"], "features": "plain"},
        "paper": {"image_size": 128, "batch": 8},
    }
    native = {"rule": "map:norm95", "pool": "mean"}
    # Adaptive equalisation has steps, at which the last bit of a grey value counts; and that depends on how many
    # images are drawn at once.
    one_by_one = True
    Config: ClassVar[type[MethodConfig]] = ReversedConfig
    config: ReversedConfig

    def build(self) -> nn.Module:
        """Parts `encoder` and `decoder`; and `lpips`, without parameters, where its weights are given."""
        network = super().build()
        if self.config.perceptual_weights:
            if self.spec.dims != 2:
                raise BadInput(
                    f"{self.name}: LPIPS looks at slices only; leave method.perceptual_weights out"
                )
            if self.spec.size < SMALLEST_SIDE:
                raise BadInput(
                    f"{self.name}: LPIPS needs {SMALLEST_SIDE} pixels a side, not {self.spec.size}; set recipe.size or "
                    "leave method.perceptual_weights out"
                )
            network.add_module("lpips", LPIPS())
        return network

    def stages(self) -> list[Stage]:
        """Those of the game; the first begins by reading LPIPS' weights, where they are given."""
        first, *rest = super().stages()
        if self.config.perceptual_weights:
            first = replace(first, before=self._read_weights)
        return [first, *rest]

    def _read_weights(self, network: nn.Module) -> None:
        assert self.config.perceptual_weights and isinstance(network.lpips, LPIPS)
        network.lpips.read(*self.config.perceptual_weights)

    def _encoder_extra(self, seen: Seen, seen_both: Seen) -> dict[str, Tensor]:
        if not self.config.embedding:
            return {}
        redrawn = tuple(tap.chunk(2)[0] for tap in seen_both.taps)
        return {"embedding": self.config.embedding * embedding_loss(seen.taps, redrawn)}

    def _maps(
        self,
        network: IntrospectiveNetwork,
        images: Tensor,
        healthy: Tensor,
        roi: Tensor,
        wants: Wants,
    ) -> dict[str, Tensor]:
        ceiling = self.config.ceiling
        images, healthy = images.clamp(0.0, ceiling), healthy.clamp(0.0, ceiling)
        maps: dict[str, Tensor] = {}
        if not wants("midl", "norm95", "plain95"):
            return maps
        looks = self._perceptual(network, images, healthy, roi)
        if wants("plain95"):
            # Without equalisation, which takes from a large lesion what makes it stand out.
            residual = (images - healthy).abs().mean(1)
            maps["plain95"] = normalised_by_percentile(residual, roi[:, 0]) * looks
        if not wants("midl", "norm95"):
            return maps
        equalised = adaptive_equalise(images, ceiling=ceiling) * roi
        redrawn = adaptive_equalise(healthy, ceiling=ceiling) * roi
        residual = (redrawn - equalised).abs().mean(1)
        if wants("norm95"):
            maps["norm95"] = normalised_by_percentile(residual, roi[:, 0]) * looks
        if wants("midl"):
            # Equalised images end at 1, whatever the ceiling was.
            looks_equalised = self._perceptual(network, equalised, redrawn, roi, brightest=1.0)
            maps["midl"] = residual * looks * looks_equalised
        return maps

    def _perceptual(
        self,
        network: IntrospectiveNetwork,
        first: Tensor,
        second: Tensor,
        roi: Tensor,
        *,
        brightest: float | None = None,
    ) -> Tensor:
        """How different two images look to the encoder or to LPIPS, blurred inside the roi: (B, ...).

        LPIPS is shown `brightest`, by default the ceiling, as white.
        """
        unit = self.config.features == "unit"
        if self.config.perceptual_weights:
            white = brightest or self.config.ceiling
            distance = network.lpips(first / white, second / white)  # type: ignore[operator]
            return blur_inside(distance, roi, self.config.smoothing)[:, 0]
        distance = feature_distance(network.taps(first), network.taps(second), first.shape[2:], unit=unit)
        return blur_inside(distance, roi, self.config.smoothing)[:, 0]


def embedding_loss(images: Taps, redrawn: Taps) -> Tensor:
    """Half the mean squared difference plus one minus the cosine, of each level's features, summed."""
    total = torch.zeros((), device=images[0].device)
    for a, b in zip(images, redrawn, strict=True):
        first, second = a.float().flatten(1), b.float().flatten(1)
        cosine = nn.functional.cosine_similarity(first, second, dim=1)
        total = total + 0.5 * (first - second).square().mean() + (1.0 - cosine).mean()
    return total


def normalised_by_percentile(residual: Tensor, roi: Tensor) -> Tensor:
    """Residuals (B, ...) over the 95th percentile inside their image's roi, cut at 1; 0 without a roi."""
    out = torch.zeros_like(residual)
    for place, (values, inside) in enumerate(zip(residual, roi, strict=True)):
        if inside.any():
            top = torch.quantile(values[inside], 0.95)
            out[place] = (values / (top + 1e-8)).clamp(max=1.0) * inside
    return out
