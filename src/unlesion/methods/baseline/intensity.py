"""Brightness alone as a sign of disease: the baseline that every learnt method must beat."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from unlesion.methods.base import Method, MethodConfig
from unlesion.methods.batch import Batch, Evidence
from unlesion.networks.channels import combine_channels
from unlesion.networks.equalise import equalise


class IntensityConfig(MethodConfig):
    """Settings of `Intensity`.

    Attributes:
        bins: of the histogram.
        channels: how several channels become one map: their mean, or the one furthest from the middle.
    """

    bins: int = Field(256, ge=2)
    channels: Literal["mean", "strongest"] = "mean"


class Intensity(Method):
    """Histogram-equalised grey value inside the roi; nothing is learnt.

    Maps: `equalised`, 0 (darkest) to 1 (brightest pixel of the image); `contrast`, the same from -1 to
    1, for lesions that are dark, or either; and `plain`, the recipe's normalised grey value, mean of
    the channels, which is the harder baseline where the recipe's normalisation withstands lesions.
    """

    name = "intensity"
    family = "baseline"
    title = "Histogram-equalised intensity, nothing learnt"
    citation = (
        "Meissen, Kaissis, Rueckert. Challenging Current Semi-Supervised Anomaly Segmentation Methods "
        "for Brain MRI. BrainLes at MICCAI 2021."
    )
    deviations = (
        "Every slice is equalised on its own, not its volume, because no result may depend on other slices.",
        "Images come from the run's recipe (size, roi, normalisation), not from SRI24 space at 128 pixels.",
    )
    presets = {
        "tiny": {"image_size": 32, "batch": 16},
        "cpu": {"image_size": 64, "batch": 64},
        "gpu": {"image_size": 128, "batch": 64},
        "paper": {"image_size": 128, "batch": 64},
    }
    native = {"rule": "map:equalised", "sign": "bright"}
    draws_healthy = False
    Config = IntensityConfig
    config: IntensityConfig

    def build(self) -> nn.Module:
        """A network without parts."""
        return nn.Module()

    def explain(self, network: nn.Module, batch: Batch) -> Evidence:
        """The two maps; no healthy image."""
        signed = 2.0 * equalise(batch.images, batch.roi, bins=self.config.bins) - 1.0
        contrast: Tensor = combine_channels(signed, self.config.channels) * batch.roi[:, 0]
        equalised = (contrast + 1.0) / 2.0 * batch.roi[:, 0]
        plain = batch.images.mean(dim=1) * batch.roi[:, 0]
        return Evidence(healthy=None, maps={"equalised": equalised, "contrast": contrast, "plain": plain})
