"""The variational autoencoder and its gradient maps."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from tests.methods.scenes import blob_batch, built, make_batch, pick, tiny, train
from unlesion.methods.base import InputSpec, StepContext, count_parameters
from unlesion.methods.variational.network import divergence
from unlesion.methods.variational.vae import VariationalAutoEncoder
from unlesion.networks.smoothing import blur_inside


def test_divergence_equals_torch_distributions() -> None:
    generator = torch.Generator().manual_seed(0)
    mean, log_sigma = torch.randn(5, 7, generator=generator), torch.randn(5, 7, generator=generator)
    expected = kl_divergence(Normal(mean, log_sigma.exp()), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(divergence(mean, log_sigma), expected)
    assert (divergence(mean, log_sigma) > 0).all()
    torch.testing.assert_close(divergence(torch.zeros(1, 3), torch.zeros(1, 3)), torch.zeros(1))


def test_published_size() -> None:
    with torch.device("meta"):
        network = VariationalAutoEncoder(
            VariationalAutoEncoder.config_for("paper"), InputSpec(size=128)
        ).build()
    # The dense autoencoder's 1.63 M and one more head of 1,024 x 128.
    assert count_parameters(network) == 1_627_249 + 1024 * 128 + 128


def test_loss_is_error_and_divergence_per_roi_pixel() -> None:
    method = tiny("vae", beta=0.5)
    network = built(method).eval()
    batch = blob_batch(4)
    named = (
        method.stages()[0]
        .phases[0]
        .loss(network, batch, StepContext(generator=torch.Generator().manual_seed(0), progress=1.0, step=9))
    )
    assert float(named["kl"].detach()) > 0
    expected = named["reconstruction"] + 0.5 * named["kl"] * 4 / batch.roi.sum()
    torch.testing.assert_close(named["loss"], expected)


@pytest.mark.parametrize(("progress", "weight"), [(0.0, 0.0), (0.1, 0.5), (0.2, 1.0), (0.9, 1.0)])
def test_warm_up(progress: float, weight: float) -> None:
    method = tiny("vae", warmup=0.2)
    network = built(method).eval()
    batch = blob_batch(2)
    named = (
        method.stages()[0]
        .phases[0]
        .loss(
            network, batch, StepContext(generator=torch.Generator().manual_seed(0), progress=progress, step=0)
        )
    )
    expected = named["reconstruction"] + weight * named["kl"] * 2 / batch.roi.sum()
    torch.testing.assert_close(named["loss"], expected)


@pytest.mark.slow
def test_divergence_stays_above_zero_in_training_and_the_code_is_used() -> None:
    method = tiny("vae", beta=0.1)
    network = built(method)
    train(method, network, blob_batch(64), steps=100)
    latent = method.explain(network, blob_batch(16, seed=3)).latent
    assert float(divergence(latent["mu"], latent["log_sigma"]).min()) > 0
    assert float(latent["mu"].std(0).max()) > 0.1


def test_gradient_map_equals_finite_differences() -> None:
    method = tiny("vae", smoothing=0.0)
    network = built(method)
    train(method, network, blob_batch(16), steps=5)
    batch = blob_batch(1)
    found = method.explain(network, batch)
    exact = copy.deepcopy(network).eval().double()
    image = batch.images.double()

    def kl(image: torch.Tensor) -> float:
        with torch.no_grad():
            return float(divergence(*exact.encoder(image)))  # type: ignore[operator]

    for row, column in ((16, 16), (10, 20), (22, 9)):
        step = torch.zeros_like(image)
        step[..., row, column] = 1e-5
        numeric = abs(kl(image + step) - kl(image - step)) / 2e-5
        assert float(found.maps["kl_gradient"][0, row, column]) == pytest.approx(numeric, rel=1e-2, abs=1e-5)


def test_combi_is_squared_error_times_blurred_gradient() -> None:
    method = tiny("vae")
    network = built(method)
    batch = blob_batch(3)
    train(method, network, batch, steps=2)
    found = method.explain(network, batch)
    assert found.healthy is not None
    expected = (batch.images - found.healthy)[:, 0].square() * found.maps["kl_gradient"]
    torch.testing.assert_close(found.maps["combi"], expected)
    assert set(found.maps) == {"kl_gradient", "elbo_gradient", "combi"}
    sharp = tiny("vae", smoothing=0.0).explain(network, batch).maps["kl_gradient"]
    torch.testing.assert_close(blur_inside(sharp[:, None], batch.roi, 1.0)[:, 0], found.maps["kl_gradient"])


@pytest.mark.parametrize("name", ["vae", "cevae", "si-vae", "ra"])
def test_the_redrawings_code_is_what_the_encoder_says_of_it(name: str) -> None:
    method = tiny(name)
    network = built(method)
    batch = blob_batch(3)
    train(method, network, batch, steps=2)
    found = method.explain(network, batch)
    assert found.healthy is not None
    again = method.explain(network, make_batch(found.healthy, batch.roi)).latent
    for code in ("mu", "log_sigma"):
        torch.testing.assert_close(found.latent[f"{code}_redrawn"], again[code], rtol=1e-4, atol=1e-5)
        assert not torch.allclose(found.latent[f"{code}_redrawn"], found.latent[code])


def test_drawn_codes_come_from_each_images_seed() -> None:
    method = tiny("vae", samples=3)
    network = built(method)
    batch = blob_batch(4)
    found = method.explain(network, batch).maps["elbo_gradient"]
    again = method.explain(network, pick(batch, [2, 0])).maps["elbo_gradient"]
    torch.testing.assert_close(again, found[[2, 0]], rtol=1e-3, atol=1e-5)
