"""How unusual a grey value is for its place in the body."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from unlesion.methods.base import Method, MethodConfig
from unlesion.methods.batch import Batch, Evidence
from unlesion.networks.channels import combine_channels
from unlesion.networks.position_atlas import PositionAtlas


class AtlasConfig(MethodConfig):
    """Settings of `Atlas`.

    Attributes:
        bins: slice heights that are told apart (volumes know their height already: 1).
        smooth: pixels by which the statistics are blurred.
        shrink: samples that coarser statistics are worth (all heights at a height, all pixels at a pixel).
        floor: smallest standard deviation, in grey values.
        channels: how several channels become one map.
    """

    bins: int = Field(8, ge=1)
    smooth: float = Field(1.0, ge=0)
    shrink: float = Field(4.0, ge=0)
    floor: float = Field(0.02, gt=0)
    channels: Literal["mean", "strongest"] = "mean"


class AtlasNetwork(nn.Module):
    """Holds the statistics."""

    def __init__(self, atlas: PositionAtlas) -> None:
        super().__init__()
        self.atlas = atlas


class Atlas(Method):
    """Healthy mean and standard deviation per position; the map `z` is signed, in standard deviations."""

    name = "atlas"
    family = "baseline"
    title = "Position-wise healthy mean and standard deviation, signed z"
    citation = (
        "No single paper: voxel-wise z-scores against a healthy population, common practice since "
        "statistical parametric mapping; reconstructed."
    )
    deviations = (
        "Fitted on prepared slices, aligned as far as the recipe does it, not by deformable registration.",
        "Statistics are blurred and shrunk towards coarser ones, so that a few dozen subjects suffice.",
    )
    presets = {
        "tiny": {"image_size": 32, "batch": 16, "bins": 4},
        "cpu": {"image_size": 64, "batch": 64},
        "gpu": {"image_size": 128, "batch": 64, "bins": 16, "smooth": 2.0},
        "paper": {"image_size": 128, "batch": 64, "bins": 16, "smooth": 0.0, "shrink": 0.0},
    }
    native = {"rule": "map:z", "sign": "both"}
    Config = AtlasConfig
    config: AtlasConfig

    def build(self) -> nn.Module:
        """One part, `atlas`, of buffers only."""
        shape = (self.spec.channels, *[self.spec.size] * self.spec.dims)
        bins = self.config.bins if self.spec.dims == 2 else 1
        config = self.config
        return AtlasNetwork(
            PositionAtlas(shape, bins=bins, smooth=config.smooth, shrink=config.shrink, floor=config.floor)
        )

    def fit(self, network: nn.Module, batches: Callable[[], Iterable[Batch]]) -> None:
        """Count all healthy images once."""
        atlas: PositionAtlas = network.atlas  # type: ignore[assignment]
        atlas.begin()
        for batch in batches():
            atlas.add(batch.images, batch.roi, batch.position)
        atlas.finish()

    @torch.no_grad()
    def explain(self, network: nn.Module, batch: Batch) -> Evidence:
        """The mean at each image's height as the healthy image, and `z`."""
        mean, deviation = network.atlas(batch.position)  # type: ignore[operator]
        z = (batch.images - mean) / deviation * batch.roi
        return Evidence(healthy=mean * batch.roi, maps={"z": combine_channels(z, self.config.channels)})
