"""The game that `si-vae` and `ra` play."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from tests.methods.scenes import blob_batch, built, parameters_of, pick, tiny, train
from unlesion.methods.adversarial.network import IntrospectiveNetwork
from unlesion.methods.adversarial.si_vae import SoftIntroVAE, squared_error
from unlesion.methods.base import InputSpec, Method, Stage, StepContext, count_parameters
from unlesion.methods.batch import Batch
from unlesion.methods.rates import RATES
from unlesion.methods.registry import get_method
from unlesion.methods.variational.network import divergence

GAME = pytest.mark.parametrize("name", ["si-vae", "ra"])


def context(*, shared: dict[str, Tensor] | None = None, seed: int = 0) -> StepContext:
    return StepContext(
        generator=torch.Generator().manual_seed(seed), progress=0.5, step=3, shared=shared or {}
    )


def game(method: Method) -> Stage:
    return next(stage for stage in method.stages() if stage.name == "game")


@GAME
def test_published_size(name: str) -> None:
    method = get_method(name)
    with torch.device("meta"):
        network = method(method.config_for("paper"), InputSpec(size=128)).build()
    parts = {part: count_parameters(child) for part, child in network.named_children()}
    assert parts == {"encoder": 16_360_896, "decoder": 13_069_889}
    assert count_parameters(network) == 29_430_785


@GAME
def test_only_the_part_whose_turn_it_is_learns(name: str) -> None:
    method = tiny(name, norm="batch")
    network = built(method)
    children = dict(network.named_children())
    batch = blob_batch(8)
    for phase in game(method).phases:
        for part, child in children.items():
            child.train(part in phase.parts or part in phase.playing).requires_grad_(part in phase.parts)
        before = {key: value.detach().clone() for key, value in network.named_parameters()}
        optimizer = phase.optimizer(list(parameters_of(phase, children)))
        phase.loss(network, batch, context())["loss"].backward()
        optimizer.step()
        changed = {
            key.split(".")[0]
            for key, value in network.named_parameters()
            if not torch.equal(value, before[key])
        }
        assert changed == set(phase.parts)


@GAME
def test_drawn_images_leave_no_trace_in_running_statistics(name: str) -> None:
    method = tiny(name, norm="batch", gamma=1e-8)
    network = built(method).train()
    assert isinstance(network, IntrospectiveNetwork)
    batch = blob_batch(8)
    expected = built(method).train()
    assert isinstance(expected, IntrospectiveNetwork)
    with torch.no_grad():
        seen = expected.encode(batch.images * batch.roi)
        noise = torch.randn(seen.mean.shape, generator=torch.Generator().manual_seed(0))
        expected.decode(seen.draw(noise))
    told = context()
    for phase in game(method).phases:
        phase.loss(network, batch, told)
    for key, value in expected.named_buffers():
        if "running" in key:
            torch.testing.assert_close(dict(network.named_buffers())[key], value, msg=key)


@GAME
def test_the_decoders_turn_draws_from_the_encoders_numbers(name: str) -> None:
    method = tiny(name, gamma=0.0, masked=False)
    network = built(method).eval()
    batch = blob_batch(4)
    encoder, decoder = game(method).phases
    assert decoder.same_batch and not encoder.same_batch
    shared: dict[str, Tensor] = {}
    encoder.loss(network, batch, StepContext(generator=torch.Generator(), progress=0, step=0, shared=shared))
    assert set(shared) == {"code", "prior"}
    assert not shared["code"].requires_grad
    # Nothing else is random in it.
    losses = [
        float(decoder.loss(network, batch, context(shared=shared, seed=seed))["loss"].detach())
        for seed in (1, 2)
    ]
    assert losses[0] == losses[1]
    assert isinstance(network, IntrospectiveNetwork)
    drawn = network.decoder(torch.cat([shared["code"], shared["prior"]]))
    seen = network.encode(drawn)
    config, scale = method.config, 1.0 / 32**2
    images = batch.images * batch.roi
    rec, kl = (drawn[:4] - images).square().flatten(1).sum(1).mean(), seen.divergence()
    expected = scale * (config.beta_rec * rec + 0.5 * config.beta_kl * (kl[:4].mean() + kl[4:].mean()))  # type: ignore[attr-defined]
    assert losses[0] == pytest.approx(float(expected.detach()), rel=1e-5)


def test_the_encoders_loss_is_the_published_one() -> None:
    """Written out step by step, with the embedding loss of two levels at the end."""
    method = tiny("ra", beta_neg=0.7, repulsion=0.25, embedding=0.3, masked=False)
    network = built(method).eval()
    assert isinstance(network, IntrospectiveNetwork)
    batch = blob_batch(3)
    found = game(method).phases[0].loss(network, batch, context(seed=5))["loss"]
    generator = torch.Generator().manual_seed(5)

    def noise(rows: int) -> Tensor:
        return torch.randn(rows, method.config.latent, generator=generator)  # type: ignore[attr-defined]

    def error(a: Tensor, b: Tensor) -> Tensor:
        return ((a - b) ** 2).sum(dim=(1, 2, 3))

    scale = 1 / (32 * 32)
    images = batch.images * batch.roi
    x = network.encode(images)
    z, n = x.mean + noise(3) * x.log_sigma.exp(), noise(3)
    again = noise(6)
    fake, rec = network.decoder(n), network.decoder(z)
    of_rec, of_fake = network.encode(rec.detach()), network.encode(fake.detach())
    rec2 = network.decoder(of_rec.mean + again[:3] * of_rec.log_sigma.exp())
    fake2 = network.decoder(of_fake.mean + again[3:] * of_fake.log_sigma.exp())
    beta_rec, beta_kl = method.config.beta_rec, method.config.beta_kl  # type: ignore[attr-defined]
    elbo = scale * (beta_rec * error(images, rec).mean() + beta_kl * x.divergence().mean())
    kept_rec = torch.exp(-2 * scale * (beta_rec * error(rec, rec2) + 0.7 * of_rec.divergence())).mean()
    kept_fake = torch.exp(-2 * scale * (beta_rec * error(fake, fake2) + 0.7 * of_fake.divergence())).mean()
    embedding = torch.zeros(())
    for a, b in zip(x.taps, of_rec.taps, strict=True):
        a, b = a.flatten(1), b.flatten(1)
        cosine = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))
        embedding = embedding + 0.5 * ((a - b) ** 2).mean() + (1 - cosine).mean()
    expected = elbo + 0.25 * (kept_rec + kept_fake) + 0.3 * embedding
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
def test_what_is_kept_lies_above_0_and_at_most_at_1(scale: float) -> None:
    method = tiny("si-vae", beta_neg=256.0)
    assert isinstance(method, SoftIntroVAE)
    generator = torch.Generator().manual_seed(0)
    mean, log_sigma = (scale * torch.randn(64, 16, generator=generator) for _ in range(2))
    images = torch.rand(2, 64, 1, 32, 32, generator=generator)
    kept = method._soft_exponential(
        squared_error(images[0], images[1]), divergence(mean, log_sigma.clamp(-5, 5))
    )
    assert kept.shape == (64,)
    assert ((kept > 0) & (kept <= 1)).all()
    assert float(method._soft_exponential(torch.zeros(1), torch.zeros(1))) == 1.0


@GAME
@pytest.mark.parametrize("norm", ["frozen", "group", "batch"])
def test_halves_go_apart_only_where_statistics_would_mix_them(name: str, norm: str) -> None:
    method = tiny(name, norm=norm)
    network = built(method).train()
    assert isinstance(network, IntrospectiveNetwork)
    assert network.passes == (2 if norm == "batch" else 1)
    images, codes = torch.rand(6, 1, 32, 32), torch.randn(6, 16)
    seen = network.encode_both(images)
    apart = [network.encode(half) for half in images.chunk(2)]
    torch.testing.assert_close(seen.mean, torch.cat([half.mean for half in apart]))
    torch.testing.assert_close(seen.taps[1], torch.cat([half.taps[1] for half in apart]))
    drawn = torch.cat([network.decoder(half) for half in codes.chunk(2)])
    torch.testing.assert_close(network.decode_both(codes), drawn)


def test_log_variances_stay_within_their_limits() -> None:
    method = tiny("ra", log_variance_limit=2.0)
    network = built(method)
    assert isinstance(network, IntrospectiveNetwork)
    nn.init.constant_(network.encoder.head.bias, 100.0)
    seen = network.encode(torch.rand(2, 1, 32, 32))
    assert torch.equal(seen.log_sigma, torch.ones(2, 16))


@GAME
def test_stages_follow_the_warm_up_share(name: str) -> None:
    first, second = tiny(name, warmup=0.25).stages()
    assert (first.name, second.name) == ("warmup", "game")
    assert (first.share, second.share) == (0.25, 0.75)
    assert [stage.name for stage in tiny(name, warmup=0.0).stages()] == ["game"]
    assert second.batches == 1


def test_schedules() -> None:
    assert RATES["constant"](0.9) == 1.0
    assert [RATES["step"](p) for p in (0.0, 0.06, 0.07, 1.0)] == [1.0, 1.0, 0.1, 0.1]
    assert RATES["cosine"](0.5) == pytest.approx(0.5)
    method = tiny("ra", schedule="step")
    assert game(method).schedule is RATES["step"]


@GAME
def test_samples_come_from_each_images_seed_and_are_averaged(name: str) -> None:
    method = tiny(name, samples=3)
    network = built(method)
    assert isinstance(network, IntrospectiveNetwork)
    batch = blob_batch(4)
    found = method.explain(network, batch)
    again = method.explain(network, pick(batch, [2, 0]))
    assert found.healthy is not None and again.healthy is not None
    torch.testing.assert_close(again.healthy, found.healthy[[2, 0]])
    sure = tiny(name).explain(network, batch).healthy
    assert sure is not None and not torch.allclose(found.healthy, sure)
    network.eval()
    with torch.no_grad():
        seen = network.encode(batch.images * batch.roi)
        noise = batch.noise((3, 16))
        drawn = [network.decoder(seen.draw(noise[:, k])) for k in range(3)]
    torch.testing.assert_close(found.healthy, sum(drawn) / 3 * batch.roi)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "seed"), [("ra", 0), ("ra", 1), ("si-vae", 0)])
def test_300_steps_without_a_nan_tell_drawn_images_from_real_ones(
    name: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = tiny(name)
    assert isinstance(method, SoftIntroVAE)
    turn, apart = method._encoder_turn, []

    def watched(network: nn.Module, batch: Batch, context: StepContext) -> Mapping[str, Tensor]:
        named = turn(network, batch, context)
        apart.append(float(named["kl_fake"].detach() - named["kl_real"].detach()))
        return named

    monkeypatch.setattr(method, "_encoder_turn", watched)
    network = built(method, seed=seed)
    losses = train(method, network, blob_batch(32, seed=seed), steps=150, per_step=4)
    assert all(math.isfinite(value) for values in losses.values() for value in values)
    assert all(bool(torch.isfinite(parameter).all()) for parameter in network.parameters())
    # The two sides take turns in leading; over many turns the encoder tells the kinds apart.
    assert sum(apart[-100:]) / 100 > 0


@GAME
def test_masked_images_are_cut_to_the_roi_beside_them(name: str) -> None:
    method = tiny(name, masked=True)
    assert isinstance(method, SoftIntroVAE)
    roi = blob_batch(3).roi
    roi[1, :, :16] = False
    drawn = torch.rand(6, 1, 32, 32) + 0.1
    cut = method._cut(drawn, roi)
    assert torch.equal(cut > 0, torch.cat([roi, roi]))
    assert torch.equal(method._cut(drawn[:3], roi) > 0, roi)
    whole = tiny(name, masked=False)
    assert isinstance(whole, SoftIntroVAE)
    assert whole._cut(drawn, roi) is drawn


def test_masked_losses_do_not_see_what_is_drawn_outside() -> None:
    method = tiny("si-vae", masked=True)
    network = built(method).eval()
    assert isinstance(network, IntrospectiveNetwork)
    batch = blob_batch(4)
    phases = [phase for stage in method.stages() for phase in stage.phases]
    inside, decode = batch.roi[:1].float(), network.decoder.forward
    before = [float(phase.loss(network, batch, context())["loss"].detach()) for phase in phases]
    network.decoder.forward = lambda code: decode(code) + 9.0 * (1.0 - inside)  # type: ignore[method-assign]
    after = [float(phase.loss(network, batch, context())["loss"].detach()) for phase in phases]
    assert after == pytest.approx(before)
