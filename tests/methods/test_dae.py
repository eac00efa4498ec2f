"""The denoising autoencoder."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from tests.methods.scenes import blob_batch, built, tiny, train
from unlesion.errors import BadInput
from unlesion.methods.base import InputSpec, StepContext
from unlesion.methods.denoising.dae import DenoisingAutoEncoder, DenoisingNetwork, oscillating_cosine
from unlesion.methods.registry import describe


def test_paper_preset_has_the_published_size_and_schedule() -> None:
    facts = describe("dae")["presets"]["paper"]
    assert facts["parameters"] == pytest.approx(7.70e6, rel=0.01)
    method = DenoisingAutoEncoder(DenoisingAutoEncoder.config_for("paper"), InputSpec(size=128))
    (stage,) = method.stages()
    (phase,) = stage.phases
    optimizer = phase.optimizer([nn.Parameter(torch.zeros(1))])
    assert optimizer.defaults["amsgrad"] and optimizer.defaults["lr"] == 1e-4
    assert optimizer.defaults["weight_decay"] == 1e-5 and phase.clip_norm == 0.5
    # 2,100 epochs, half a period of the cosine every 100.
    assert stage.schedule is not None
    for epoch in (0, 37, 100, 150, 200, 2050, 2100):
        assert stage.schedule(epoch / 2100) == pytest.approx(
            0.5 * (1 + math.cos(math.pi * epoch / 100)), abs=1e-9
        )


def test_plain_cosine_is_one_half_cycle() -> None:
    values = [oscillating_cosine(p / 10, half_cycles=1) for p in range(11)]
    assert values[0] == 1.0 and values[-1] == 0.0 and values == sorted(values, reverse=True)


@pytest.mark.parametrize(
    ("channels", "first", "plain"), [(1, "auto", True), (3, "auto", False), (3, "plain", True)]
)
def test_first_convolution(channels: int, first: str, plain: bool) -> None:
    network = built(tiny("dae", channels=channels, first=first))
    assert isinstance(network, DenoisingNetwork)
    image = torch.rand(1, channels, 32, 32)
    with torch.no_grad():
        change = float((network(image + 0.3) - network(image)).abs().max())
    assert (change > 1e-3) == plain


class Recording(nn.Module):
    """Gives back what it gets, and keeps it."""

    def forward(self, images: Tensor) -> Tensor:
        self.seen = images
        return images


def test_noise_is_added_inside_the_roi_and_the_target_is_clean() -> None:
    method = tiny("dae", size=64)
    batch = blob_batch(32, size=64)
    network = Recording()
    stage = method.stages()[0]
    context = StepContext(generator=torch.Generator().manual_seed(0), progress=0.0, step=0)
    loss = float(stage.phases[0].loss(network, batch, context)["loss"])
    noise = network.seen - batch.images
    inside = noise[batch.roi]
    assert float(inside.std()) == pytest.approx(0.133, rel=0.06)
    assert (noise[~batch.roi] == 0).all()
    # Whoever leaves the noise in pays its variance.
    assert loss == pytest.approx(float(inside.square().mean()), rel=1e-4)


@pytest.mark.slow
def test_an_unseen_bright_spot_is_taken_out() -> None:
    method = tiny("dae")
    network = built(method)
    train(method, network, blob_batch(128), steps=150, per_step=16)
    batch = blob_batch(4, seed=7)
    clean = batch.images.clone()
    batch.images[..., 6:12, 18:24] += 0.5 * batch.roi[..., 6:12, 18:24]
    healthy = method.explain(network, batch).healthy
    assert healthy is not None
    spot = (slice(None), slice(None), slice(6, 12), slice(18, 24))
    left = (healthy - clean)[spot].abs().mean() / (batch.images - clean)[spot].abs().mean()
    assert float(left) < 0.7


def test_sizes_that_do_not_halve_are_refused() -> None:
    with pytest.raises(BadInput, match="multiple of 4"):
        tiny("dae", size=34).build()
