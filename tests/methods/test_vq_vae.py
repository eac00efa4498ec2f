"""VQ-VAE and its prior: the codebook, the orders, the transformer, and what is replaced."""

from __future__ import annotations

import copy
import functools
import math
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from tests.cohorts import write_pictures
from tests.methods.scenes import blob_batch, built, pick, tiny, train
from tests.training.test_fit import calling, fit
from unlesion.errors import BadInput
from unlesion.methods.autoregressive.prior import LOWEST, TokenPrior
from unlesion.methods.autoregressive.vq_vae import VQVAE, VQVAENetwork
from unlesion.methods.base import InputSpec, Method, StepContext, count_parameters
from unlesion.methods.batch import Batch
from unlesion.networks.vq_convolutions import VQDecoder, VQEncoder
from unlesion.prepare import PreparedStore, load_recipe, prepare_cohort
from unlesion.scans import Cohort


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=generator(seed))


def prior(*, codes: int = 5, grid: int = 4, orders: int = 4) -> TokenPrior:
    torch.manual_seed(0)
    made = TokenPrior(codes, grid, dims=2, orders=orders, width=8, depth=2, heads=2)
    for transformer in made.transformers:
        # Fresh logits hardly differ between tokens.
        nn.init.normal_(transformer.logits.weight)  # type: ignore[union-attr, arg-type]
    return made.eval()


def random_tokens(number: int, *, codes: int = 5, length: int = 16, seed: int = 0) -> Tensor:
    return torch.randint(codes, (number, length), generator=generator(seed))


# The codebook


def test_the_codebook_moves_in_training_only() -> None:
    method, batch = tiny("vq-vae"), blob_batch(4)
    network = built(method)
    assert isinstance(network, VQVAENetwork)
    loss = method.stages()[0].phases[0].loss
    context = StepContext(generator=generator(), progress=0.0, step=0)
    before = copy.deepcopy(network.state_dict())
    loss(network.eval(), batch, context)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    loss(network.train(), batch, context)
    changed = {k for k, v in network.state_dict().items() if not torch.equal(v, before[k])}
    assert changed == {"codebook.vectors", "codebook.counts", "codebook.sums"}


def test_a_plain_beginning_passes_features_by_the_codebook() -> None:
    method, batch = tiny("vq-vae", plain=0.5), blob_batch(4)
    network = built(method).train()
    assert isinstance(network, VQVAENetwork)
    loss = method.stages()[0].phases[0].loss
    before = network.codebook.vectors.clone()
    images = batch.images * batch.roi
    drawn = network.decoder(network.encoder(images))
    error = ((drawn - images).abs() * batch.roi).sum() / batch.roi.sum()
    early = loss(network, batch, StepContext(generator=generator(), progress=0.49, step=1))
    assert float(early["loss"].detach()) == pytest.approx(float(error.detach()), rel=1e-5)
    assert torch.equal(network.codebook.vectors, before)
    late = loss(network, batch, StepContext(generator=generator(), progress=0.5, step=2))
    assert "commitment" in late
    assert not torch.equal(network.codebook.vectors, before)


def test_what_is_drawn_first_is_drawn_with_codes_that_are_features() -> None:
    """Random ones threw off a decoder that had learnt: from then on it drew one grey disc for every T1 slice."""
    method, batch = tiny("vq-vae", plain=0.5), blob_batch(4)
    network = built(method).train()
    assert isinstance(network, VQVAENetwork)
    features = network.encoder(batch.images * batch.roi)
    (phase,) = method.stages()[0].phases
    found = phase.loss(network, batch, StepContext(generator=generator(), progress=0.5, step=0))
    assert float(found["commitment"].detach()) < 0.5 * float(features.detach().var())


def test_averaged_weights_have_an_averaged_codebook() -> None:
    network = built(tiny("vq-vae"))
    assert isinstance(network, VQVAENetwork)
    averaged = AveragedModel(network, use_buffers=False)
    for value in (0.0, 1.0):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.fill_(value)
        averaged.update_parameters(network)
    assert all(bool((parameter == 0.5).all()) for parameter in averaged.module.parameters())
    assert "codebook.vectors" in dict(averaged.module.named_parameters())


# The network and the orders


def test_convolutions_agree_with_monai() -> None:
    from monai.networks.nets.vqvae import VQVAE as Reference

    reference = Reference(
        spatial_dims=2, in_channels=1, out_channels=1, channels=(8, 12), num_res_channels=(8, 12),
        num_res_layers=2, downsample_parameters=((2, 4, 1, 1),) * 2,
        upsample_parameters=((2, 4, 1, 1, 0),) * 2, num_embeddings=4, embedding_dim=5,
    ).eval()  # fmt: skip
    images, codes = random(2, 1, 16, 16), random(2, 5, 4, 4)
    for ours, theirs, given in (
        (VQEncoder(1, widths=(8, 12), units=2, code_width=5), reference.encoder, images),
        (VQDecoder(1, widths=(8, 12), units=2, code_width=5), reference.decoder, codes),
    ):
        pairs = list(zip(ours.parameters(), theirs.parameters(), strict=True))
        with torch.no_grad():
            for parameter, other in pairs:
                parameter.copy_(other)
            torch.testing.assert_close(ours(given), theirs(given))


def test_sizes_of_the_paper_preset() -> None:
    with torch.device("meta"):
        network = VQVAE(VQVAE.config_for("paper"), InputSpec(size=128)).build()
    assert isinstance(network, VQVAENetwork)
    assert network.prior.orders.shape == (8, 256)
    assert len(network.prior.transformers) == 8
    # 16 blocks of 12 · 128² weights and 10 · 128 biases and scales, less the 3 · 128 biases that keys go without.
    block = 12 * 128**2 + 10 * 128
    assert count_parameters(network.prior.transformers[0]) == 16 * block + (33 + 256) * 128 + 129 * 33


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(BadInput, match=r"method\.orders"):
        tiny("vq-vae", orders=9).build()
    with pytest.raises(ValidationError, match="multiple of prior_heads"):
        VQVAE.config_for("tiny", {"prior_heads": 3})
    with pytest.raises(ValidationError, match="agree=mean needs all"):
        VQVAE.config_for("cpu", {"agree": "mean"})
    with pytest.raises(BadInput, match="multiple of 4"):
        tiny("vq-vae", size=34).build()


# The transformer


def test_log_probabilities_are_those_of_the_chain_in_every_order() -> None:
    chain = prior()
    tokens = random_tokens(2)
    found = chain(tokens)
    assert found.shape == (2, 4, 16)
    for order, transformer in enumerate(chain.transformers):
        walk = chain.orders[order].tolist()
        for row in range(2):
            walked = [5]
            for place in walk:
                logits = transformer(torch.tensor([walked]))[0, -1]
                token = int(tokens[row, place])
                expected = logits.log_softmax(-1)[token]
                torch.testing.assert_close(found[row, order, place], expected, rtol=1e-4, atol=1e-5)
                walked.append(token)


def test_a_prior_that_knows_nothing_gives_all_tokens_the_same() -> None:
    chain = prior()
    for parameter in chain.parameters():
        nn.init.zeros_(parameter)
    torch.testing.assert_close(chain(random_tokens(3)), torch.full((3, 4, 16), -math.log(6)))


# Healing


@pytest.mark.parametrize("drawn", [False, True])
def test_healing_replaces_what_is_flagged_in_order_and_nothing_else(drawn: bool) -> None:
    chain = prior()
    tokens = random_tokens(6)
    flagged = torch.rand(6, 16, generator=generator(1)) < 0.3
    flagged[0] = False
    draws = torch.rand(6, 16, generator=generator(2)) if drawn else None
    for order in range(4):
        healed = chain.heal(tokens, flagged, order, draws)
        assert torch.equal(healed[~flagged], tokens[~flagged])
        assert torch.equal(healed[0], tokens[0])
        # Each replaced token is the one that the healed tokens before it ask for.
        walk = chain.orders[order]
        walked = healed[:, walk]
        before = torch.cat([torch.full((6, 1), 5), walked[:, :-1]], 1)
        chances = chain.transformers[order](before)[..., :5].softmax(-1)
        for row, rank in flagged[:, walk].nonzero().tolist():
            sums = chances[row, rank].cumsum(0)
            if draws is None:
                expected = int(chances[row, rank].argmax())
            else:
                expected = int((sums <= draws[row, walk[rank]]).sum())
            assert int(walked[row, rank]) == expected


def test_drawn_tokens_follow_their_probabilities() -> None:
    chain = prior(grid=1, orders=1)
    tokens = torch.zeros(4000, 1, dtype=torch.int64)
    draws = torch.rand(4000, 1, generator=generator())
    healed = chain.heal(tokens, torch.ones_like(tokens, dtype=torch.bool), 0, draws)
    shares = healed.flatten().bincount(minlength=5) / 4000
    expected = chain.transformers[0](torch.tensor([[5]]))[0, 0, :5].softmax(-1)
    torch.testing.assert_close(shares, expected, rtol=0, atol=0.03)


def test_healing_does_not_know_of_neighbours() -> None:
    chain = prior()
    tokens, flagged = random_tokens(6), torch.rand(6, 16, generator=generator(1)) < 0.5
    together = chain.heal(tokens, flagged, 2, None)
    for row in range(6):
        alone = chain.heal(tokens[row : row + 1], flagged[row : row + 1], 2, None)
        assert torch.equal(alone[0], together[row])


# The threshold


@functools.cache
def weights() -> dict[str, Tensor]:
    """A short training; the settings that tests vary matter at detection alone."""
    method = tiny("vq-vae")
    network = built(method)
    train(method, network, blob_batch(64), steps=60, per_step=16)
    return network.state_dict()


def trained(**overrides: object) -> tuple[Method, VQVAENetwork, Batch]:
    method = tiny("vq-vae", **overrides)
    network = built(method)
    network.load_state_dict(weights())
    assert isinstance(network, VQVAENetwork)
    return method, network.eval(), blob_batch(64)


def test_about_the_wanted_share_of_healthy_tokens_is_flagged() -> None:
    method, network, batch = trained(flag_share=0.1)
    assert isinstance(method, VQVAE)
    with torch.no_grad():
        found = network.prior(network.tokens(batch.images).flatten(1))
    inside = method._inside(batch.roi).expand_as(found)
    threshold = network.prior.quantile.read(0.1)
    assert LOWEST < float(threshold) < 0
    assert 0.03 < float((found < threshold)[inside].float().mean()) < 0.2


@pytest.mark.parametrize("samples", [0, 1])
def test_likely_images_are_left_as_the_codebook_draws_them(samples: int) -> None:
    method, network, batch = trained(flag="fixed", flag_probability=1e-12, samples=samples)
    found = method.explain(network, batch)
    with torch.no_grad():
        plain = network(batch.images) * batch.roi
    assert found.healthy is not None
    torch.testing.assert_close(found.healthy, plain, rtol=1e-5, atol=1e-6)
    assert (found.maps["masked"] == 0).all()
    torch.testing.assert_close(
        found.maps["change"], torch.zeros_like(found.maps["change"]), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("agree", ["each", "mean"])
def test_what_no_healthy_image_has_is_unlikely_and_found(agree: str) -> None:
    method, network, batch = trained(agree=agree, flag_share=0.02)
    odd = pick(batch, range(8))
    places = (slice(None), slice(None), slice(4, 12), slice(18, 26))
    odd.images[places] = 1.4 * odd.roi[places]
    before = method.explain(network, pick(batch, range(8)))
    after = method.explain(network, odd)
    assert (after.latent["surprise"] > before.latent["surprise"]).all()
    spot = after.maps["masked"][:, 5:11, 19:25].mean()
    assert float(spot) > 3 * float(after.maps["masked"].mean())
    assert after.healthy is not None
    taken = (odd.images - after.healthy)[places][odd.roi[places]].mean()
    assert float(taken) > 0.2


@pytest.mark.parametrize("number", [1, 5])
def test_dealt_images_teach_one_order_each(number: int) -> None:
    method, network, batch = trained(deal=True)
    batch = pick(batch, range(number))
    network.train()
    network.prior.requires_grad_(True)
    context = StepContext(generator=generator(), progress=0.5, step=1)
    counted = float(network.prior.quantile.batches)
    value = method.stages()[1].phases[0].loss(network, batch, context)["loss"]
    with torch.no_grad():
        found = network.prior(network.tokens(batch.images).flatten(1))
    expected = -torch.stack([found[row, row % 2] for row in range(number)]).mean()
    torch.testing.assert_close(value.detach(), expected, rtol=1e-4, atol=1e-5)
    assert float(network.prior.quantile.batches) == counted + 1
    value.backward()
    for order, transformer in enumerate(network.prior.transformers):
        moved = any(bool(parameter.grad.any()) for parameter in transformer.parameters())  # type: ignore[union-attr]
        assert moved == (order < number)


def test_the_image_score_sums_over_tokens() -> None:
    method, network, batch = trained()
    found = method.explain(network, batch)
    with torch.no_grad():
        expected = -network.prior(network.tokens(batch.images).flatten(1)).mean(1).sum(1, keepdim=True)
    torch.testing.assert_close(found.latent["surprise"], expected, rtol=1e-5, atol=1e-4)
    assert (found.maps["surprise"] >= 0).all()


def test_drawn_tokens_differ_between_images_and_not_between_calls() -> None:
    method, network, batch = trained(flag="fixed", flag_probability=0.9, samples=2)
    twice = pick(batch, [0, 0])
    twice.seeds[1] += 1
    found = method.explain(network, twice).healthy
    again = method.explain(network, twice).healthy
    assert found is not None and again is not None
    assert torch.equal(found, again)
    assert not torch.equal(found[0], found[1])


# Resume


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> PreparedStore:
    cohort = Cohort.open(write_pictures(tmp_path_factory.mktemp("pictures")))
    return prepare_cohort(cohort, load_recipe("slices", {"size": 32}), tmp_path_factory.mktemp("store"))[0]


@pytest.mark.parametrize("at", [3, 9])
def test_interrupted_in_either_stage_ends_with_the_same_weights_and_statistics(
    store: PreparedStore, tmp_path: Path, at: int
) -> None:
    def interrupt(done: int) -> None:
        if done == at:
            signal.raise_signal(signal.SIGINT)

    whole, _ = fit("vq-vae", store, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit("vq-vae", store, tmp_path / "broken", bars=calling(interrupt))
    resumed, _ = fit("vq-vae", store, tmp_path / "broken", resume=True)
    expected, found = whole.state_dict(), resumed.state_dict()
    assert expected.keys() == found.keys()
    for key, tensor in expected.items():
        assert torch.equal(tensor, found[key]), key
    assert np.isfinite(float(found["prior.quantile.counts"].sum()))
    assert float(found["prior.quantile.counts"].sum()) > 0
