"""A method in two stages, as unlike the built-in ones as is needed to prove the seam.

Stage 1 trains a small encoder and decoder; stage 2 freezes them and trains a second part to foretell
how wrong they will be at each pixel. The map is the error in units of what was foretold.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

from unlesion.methods.base import Method, MethodConfig, Phase, Stage, StepContext
from unlesion.methods.batch import Batch, Evidence
from unlesion.methods.registry import register
from unlesion.networks.layers import layer
from unlesion.networks.modes import asking
from unlesion.networks.roi import roi_mean
from unlesion.networks.strided import StridedDecoder, StridedEncoder, decoder_widths


class ToyConfig(MethodConfig):
    """Settings of `Toy`."""

    widths: tuple[int, ...] = (8, 8)
    learning_rate: float = 3e-3


class ToyNetwork(nn.Module):
    """Three parts, and a buffer that is set between the stages."""

    error_scale: Tensor

    def __init__(self, encoder: nn.Module, decoder: nn.Module, doubt: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.doubt = doubt
        self.register_buffer("error_scale", torch.ones(()))


class Toy(Method):
    """See the module."""

    name = "toy-two-stage"
    family = "test"
    title = "Toy in two stages"
    citation = "None: made for tests."
    presets = {"tiny": {"image_size": 32, "batch": 8}}
    native = {"rule": "map:surprise"}
    Config = ToyConfig
    config: ToyConfig

    def build(self) -> nn.Module:
        widths, spec = self.config.widths, self.spec
        return ToyNetwork(
            StridedEncoder(spec.channels, widths=widths, kernel=4, dims=spec.dims),
            StridedDecoder(spec.channels, widths=decoder_widths(widths), kernel=4, dims=spec.dims),
            nn.Sequential(layer("Conv", spec.dims)(spec.channels, 1, 3, padding=1), nn.Softplus()),
        )

    def stages(self) -> list[Stage]:
        adam = partial(torch.optim.Adam, lr=self.config.learning_rate)
        draw = Phase(name="draw", parts=("encoder", "decoder"), loss=self._draw, optimizer=adam)
        doubt = Phase(name="doubt", parts=("doubt",), loss=self._doubt, optimizer=adam)
        return [
            Stage(name="first", phases=(draw,), share=0.7),
            Stage(name="second", phases=(doubt,), share=0.3, before=self._between),
        ]

    def _between(self, network: nn.Module) -> None:
        network.error_scale.fill_(0.1)  # type: ignore[union-attr, operator]

    def _draw(self, network: nn.Module, batch: Batch, context: StepContext) -> Mapping[str, Tensor]:
        images = batch.images * batch.roi
        return {"loss": roi_mean((self._drawn(network, images) - images).square(), batch.roi)}

    def _doubt(self, network: nn.Module, batch: Batch, context: StepContext) -> Mapping[str, Tensor]:
        images = batch.images * batch.roi
        with torch.no_grad():
            error = (self._drawn(network, images) - images).abs().mean(1, keepdim=True)
        foretold = network.doubt(images).float() * network.error_scale  # type: ignore[operator]
        return {"loss": roi_mean((foretold - error).abs(), batch.roi)}

    def _drawn(self, network: nn.Module, images: Tensor) -> Tensor:
        result: Tensor = network.decoder(network.encoder(images)).float()  # type: ignore[operator]
        return result

    def explain(self, network: nn.Module, batch: Batch) -> Evidence:
        images = batch.images * batch.roi
        with asking(network):
            drawn = self._drawn(network, images) * batch.roi
            foretold = network.doubt(images) * network.error_scale  # type: ignore[operator]
        surprise = (drawn - images).abs().mean(1) / (foretold[:, 0] + 0.01) * batch.roi[:, 0]
        return Evidence(healthy=drawn, maps={"surprise": surprise})


register(Toy.name, f"{__name__}:Toy")
