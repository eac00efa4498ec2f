"""The Wasserstein game, the encoder that follows it, and what detection makes of them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.methods.scenes import blob_batch, built, parameters_of, tiny
from unlesion.errors import BadInput
from unlesion.methods.base import InputSpec, StepContext, count_parameters
from unlesion.methods.registry import get_method
from unlesion.networks.wasserstein import Critic, Generator, gradient_penalty


def context(seed: int = 0) -> StepContext:
    return StepContext(generator=torch.Generator().manual_seed(seed), progress=0.0, step=0)


def linear(weights: Tensor) -> Any:
    return lambda images: (images * weights).flatten(1).sum(1)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 8), (2, 4, 4, 4)])
@pytest.mark.parametrize("norm", [1.0, 3.0])
def test_penalty_of_a_linear_critic(shape: tuple[int, ...], norm: float) -> None:
    weights = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    # The norm is over all numbers of an image, whichever axes they lie on.
    weights = norm * weights / weights.norm()
    real, drawn = torch.rand(5, *shape), torch.rand(5, *shape)
    penalty = gradient_penalty(linear(weights), real, drawn, torch.rand(5))
    assert float(penalty) == pytest.approx((norm - 1.0) ** 2, abs=1e-5)


def test_penalty_is_taken_between_real_and_drawn_images() -> None:
    # The slope of half the squared norm is the image itself.
    real, drawn = torch.full((3, 1, 2, 2), 1.0), torch.full((3, 1, 2, 2), 3.0)
    share = torch.tensor([1.0, 0.5, 0.0])
    norms = 2.0 * torch.tensor([1.0, 2.0, 3.0])

    def critic(images: Tensor) -> Tensor:
        return 0.5 * images.square().flatten(1).sum(1)

    found = gradient_penalty(critic, real, drawn, share)
    assert float(found.detach()) == pytest.approx(float((norms - 1).square().mean()), rel=1e-5)


def test_penalty_of_a_flat_critic_has_a_finite_gradient() -> None:
    weight = nn.Parameter(torch.zeros(1, 4, 4))
    penalty = gradient_penalty(linear(weight), torch.rand(2, 1, 4, 4), torch.rand(2, 1, 4, 4), torch.rand(2))
    penalty.backward()
    assert float(penalty.detach()) == pytest.approx(1.0, abs=1e-4)
    assert weight.grad is not None and weight.grad.isfinite().all()


def test_penalty_is_single_precision_under_autocast() -> None:
    torch.manual_seed(0)
    critic = Critic(1, widths=(4, 8), grid=4)
    images = torch.rand(4, 1, 8, 8)
    plain = gradient_penalty(critic, images, 0.5 * images, torch.rand(4, generator=torch.manual_seed(1)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = gradient_penalty(critic, images, 0.5 * images, torch.rand(4, generator=torch.manual_seed(1)))
    assert cast.dtype == torch.float32
    assert float(plain.detach()) == float(cast.detach())


def test_critic_judges_each_image_by_itself() -> None:
    torch.manual_seed(0)
    critic = Critic(2, widths=(4, 8, 8), grid=4).train()
    images = torch.rand(6, 2, 16, 16)
    torch.testing.assert_close(critic(images)[2:3], critic(images[2:3]), rtol=1e-4, atol=1e-5)
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in critic.modules())


def test_critics_loss_is_the_papers() -> None:
    method = tiny("f-anogan", masked=False)
    network: Any = built(method)
    batch = blob_batch(4)
    named = method.stages()[0].phases[0].loss(network, batch, context(3))
    generator = torch.Generator().manual_seed(3)
    codes = torch.randn((4, 16), generator=generator)
    share = torch.rand(4, generator=generator)
    drawn = network.generator(codes).detach()
    penalty = gradient_penalty(network.critic, batch.images, drawn, share)
    expected = network.critic(drawn).mean() - network.critic(batch.images).mean() + 10.0 * penalty
    torch.testing.assert_close(named["loss"], expected)


def test_encoders_loss_is_the_papers() -> None:
    method = tiny("f-anogan", kappa=3.0, masked=False)
    network: Any = built(method)
    batch = blob_batch(4)
    named = method.stages()[1].phases[0].loss(network, batch, context())
    drawn = network.generator(network.encoder(batch.images))
    features = [network.critic.trunk(images).flatten(1) for images in (batch.images, drawn)]
    expected = nn.functional.mse_loss(drawn, batch.images) + 3.0 * nn.functional.mse_loss(*features)
    torch.testing.assert_close(named["loss"], expected)


def test_who_learns_when() -> None:
    method = tiny("f-anogan")
    game, finding = method.stages()
    assert [phase.parts for phase in game.phases] == [("critic",), ("generator",)]
    assert [phase.repeats for phase in game.phases] == [5, 1]
    assert game.batches == 5
    assert [phase.parts for phase in finding.phases] == [("encoder",)]
    network = built(method)
    children = dict(network.named_children())
    for phase in (*game.phases, *finding.phases):
        for name, child in children.items():
            child.requires_grad_(name in phase.parts).train(name in phase.parts)
        network.zero_grad()
        phase.loss(network, blob_batch(4), context())["loss"].backward()
        for name, child in children.items():
            touched = [p.grad is not None and bool((p.grad != 0).any()) for p in child.parameters()]
            assert any(touched) == (name in phase.parts), (phase.name, name)
        # The losses do not switch anything out of evaluation mode.
        assert [child.training for child in children.values()] == [name in phase.parts for name in children]


class White(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.grey = nn.Parameter(torch.ones(()))

    def forward(self, code: Tensor) -> Tensor:
        return self.grey.expand(len(code), 1, 32, 32)


@pytest.mark.parametrize("masked", [True, False])
def test_outlines_are_drawn_or_given(masked: bool) -> None:
    method = tiny("f-anogan", masked=masked)
    network: Any = built(method)
    network.generator = White()
    batch = blob_batch(4)
    drawn = batch.roi.float() if masked else torch.ones_like(batch.images)
    (critic, generator), (encoder,) = (stage.phases for stage in method.stages())
    named = generator.loss(network, batch, context())
    torch.testing.assert_close(named["loss"], -network.critic(drawn).mean())
    named = critic.loss(network, batch, context())
    torch.testing.assert_close(
        named["distance"], network.critic(batch.images).mean() - network.critic(drawn).mean()
    )
    named = encoder.loss(network, batch, context())
    torch.testing.assert_close(named["image"], nn.functional.mse_loss(drawn, batch.images))
    apart = nn.functional.mse_loss(network.critic.features(drawn), network.critic.features(batch.images))
    torch.testing.assert_close(named["features"], apart)
    torch.testing.assert_close(method.explain(network, batch).latent["features"].mean(), apart.detach())


def test_generator_nears_the_images() -> None:
    method = tiny("f-anogan", critic_steps=2, masked=False)
    network: Any = built(method)
    batch = blob_batch(16)
    game = method.stages()[0]
    children = dict(network.named_children())
    optimizers = [phase.optimizer(list(parameters_of(phase, children))) for phase in game.phases]
    gaps = []
    for step in range(80):
        for phase, optimizer in zip(game.phases, optimizers, strict=True):
            for name, child in children.items():
                child.requires_grad_(name in phase.parts)
            for repeat in range(phase.repeats):
                named = phase.loss(network, batch, context(10 * step + repeat))
                optimizer.zero_grad()
                named["loss"].backward()
                optimizer.step()
        gaps.append(float(named["mismatch"]))
    assert sum(gaps[-10:]) < 0.3 * sum(gaps[:10])


def test_codes_and_grey_values_are_bounded() -> None:
    method = tiny("f-anogan")
    network: Any = built(method)
    batch = blob_batch(4)
    batch = replace(batch, images=100.0 * batch.images)
    found = method.explain(network, batch)
    assert found.latent["code"].abs().max() <= 1.0
    drawn = network.generator(50.0 * torch.randn(4, 16))
    assert float(drawn.min()) >= 0.0
    assert float(drawn.max()) <= 1.5


def test_map_has_the_published_score_as_its_mean() -> None:
    method = tiny("f-anogan", kappa=2.0, masked=False)
    network: Any = built(method)
    batch = blob_batch(3)
    found = method.explain(network, batch)
    assert found.healthy is not None
    features = found.latent["features"][:, 0]
    drawn = network.generator(found.latent["code"])
    expected = (network.critic.features(batch.images) - network.critic.features(drawn)).square().mean(1)
    torch.testing.assert_close(features, expected.detach())
    for row, inside in enumerate(batch.roi[:, 0]):
        error = (found.healthy[row, 0] - batch.images[row, 0]).square()[inside].mean()
        assert float(found.maps["izi"][row][inside].mean()) == pytest.approx(
            float(error + 2.0 * features[row]), rel=1e-4
        )


def test_published_networks() -> None:
    # At 64 pixels the coarsest grid is 4 x 4, as in Gulrajani's code.
    method = get_method("f-anogan")
    with torch.device("meta"):
        network: Any = method(method.config_for("paper"), InputSpec(size=64)).build()
    generator: Generator = network.generator
    assert generator.shape == (512, 4, 4)
    assert count_parameters(generator.expand) == 128 * 8192 + 8192
    assert network.critic.head.in_features == network.encoder.head.in_features == 8192

    def block(a: int, b: int, middle: int) -> int:
        return 2 * a + 9 * a * middle + 2 * middle + 9 * middle * b + b + a * b + b

    up, down = (512, 512, 256, 128, 64), (64, 128, 256, 512, 512)
    blocks = sum(block(a, b, b) for a, b in pairwise(up))
    assert count_parameters(generator) == 128 * 8192 + 8192 + blocks + 2 * 64 + 9 * 64 + 1
    blocks = sum(block(a, b, a) for a, b in pairwise(down))
    assert count_parameters(network.critic) == 10 * 64 + blocks + 8193


def test_coarse_networks_draw_whole_images() -> None:
    method = tiny("f-anogan", coarse=True, channels=2)
    network: Any = built(method)
    assert network(torch.rand(2, 2, 32, 32)).shape == (2, 2, 32, 32)
    assert network.generator.shape == (16, 2, 2)
    with pytest.raises(BadInput, match="f-anogan halves images 4 times"):
        built(tiny("f-anogan", coarse=True, size=24))
