"""ANDi: its noise, its loss, and the geometric mean of single looks."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.methods.scenes import blob_batch, built, make_batch, tiny, train
from tests.methods.test_ddpm import Asked, context, network_of
from unlesion.methods.base import InputSpec
from unlesion.methods.diffusion.andi import ANDi, geometric_mean
from unlesion.methods.diffusion.ddpm import to_signal


def andi(size: int = 32, dims: int = 2, channels: int = 1, **settings: Any) -> ANDi:
    made = tiny("andi", size=size, dims=dims, channels=channels, **settings)
    assert isinstance(made, ANDi)
    return made


def answering(method: ANDi, wanted: Any) -> Asked:
    """A network whose velocities stand for the clean images `wanted(times)`, in grey values."""

    def answer(noisy: Tensor, times: Tensor) -> Tensor:
        keep, add = method.process.schedule.factors(times, noisy.ndim - 2)
        return (keep * noisy - to_signal(wanted(times))) / add

    return Asked(answer)


def test_the_paper_preset() -> None:
    method = ANDi(ANDi.config_for("paper"), InputSpec(size=224))
    assert method.config.t_test == tuple(range(26, 126))
    settings = method.config.unet_settings(method.spec)
    assert settings["attention"] == (4, 5) and len(settings["blocks"]) == 6
    with torch.device("meta"):
        unet = method.unet()
    assert {module.heads for module in unet.modules() if hasattr(module, "heads")} == {3, 4}
    # t = 0.125, the noisiest of the band: cosine log-SNR, shifted by 2 log(56 / 224).
    kept = float(method.process.schedule.kept[124])
    expected = -2 * math.log(math.tan(0.125 * math.pi / 2)) + 2 * math.log(56 / 224)
    assert math.log(kept / (1 - kept)) == pytest.approx(expected, abs=0.01)


def test_larger_images_are_noisier() -> None:
    kept = [float(andi(size=size).process.schedule.kept[99]) for size in (32, 56, 112)]
    assert kept[0] > kept[1] > kept[2]
    assert kept[1] == pytest.approx(math.cos(0.05 * math.pi) ** 2, abs=1e-3)


def neighbours(noise: Tensor) -> float:
    """Correlation of pixels beside each other."""
    return float((noise[..., 1:] * noise[..., :-1]).mean() / noise.square().mean())


@pytest.mark.parametrize(("test_noise", "coarse"), [("gaussian", False), ("pyramid", True)])
def test_pyramid_noise_in_training_and_plain_noise_at_detection(test_noise: str, coarse: bool) -> None:
    method = andi(test_noise=test_noise)
    black = make_batch(torch.full((16, 1, 32, 32), 0.5), torch.ones(16, 1, 32, 32, dtype=torch.bool))
    training, detection = Asked(), Asked()
    method.denoising_loss(network_of(training), black, context())
    method.explain(network_of(detection), black)
    assert neighbours(training.seen[0]) > 0.15
    assert (neighbours(detection.seen[0]) > 0.15) == coarse
    # Every level has noise of its own.
    first, second = detection.seen[0].reshape(2, 16, 1, 32, 32)
    assert abs(float(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1])) < 0.1


def test_the_loss_is_that_of_the_noise() -> None:
    """|eps^ - eps|^2 with eps^ = sigma z + alpha v^."""
    method = andi()
    batch = blob_batch(8)
    unet = Asked(lambda noisy, times: torch.sin(3 * noisy))
    loss = method.denoising_loss(network_of(unet), batch, context())["loss"]
    (seen,), times = unet.seen, torch.tensor(unet.times)
    keep, add = method.process.schedule.factors(times, 2)
    foretold = add * seen + keep * torch.sin(3 * seen)
    noise = method.process.noise_of(to_signal(batch.images), seen, times)
    expected = (foretold - noise).square()[batch.roi].mean()
    torch.testing.assert_close(loss, expected, rtol=1e-3, atol=0)


@pytest.mark.parametrize("across", ["max", "mean"])
@pytest.mark.parametrize(("size", "dims"), [(32, 2), (16, 3)])
def test_the_map_is_the_geometric_mean_over_levels(across: str, size: int, dims: int) -> None:
    levels = (26, 60, 125)
    errors = {25: 0.1, 59: -0.2, 124: 0.05}
    method = andi(size=size, dims=dims, channels=2, across=across, t_test=levels)
    batch = blob_batch(1, size=size, dims=dims, channels=2)
    share = torch.tensor([1.0, 0.5]).reshape(1, 2, *[1] * dims)

    def wanted(times: Tensor) -> Tensor:
        error = torch.tensor([errors[int(time)] for time in times]).reshape(-1, *[1] * (dims + 1))
        return batch.images + 0.3 + share * error

    # All errors are above black and below the highest grey value.
    found = method.explain(network_of(answering(method, wanted)), batch)
    squares = [(0.3 + torch.tensor([1.0, 0.5]) * error).square() for error in errors.values()]
    closed = (squares[0] * squares[1] * squares[2]) ** (1 / 3)
    expected = float(closed.max() if across == "max" else closed.mean())
    low = batch.roi[:, 0] & (batch.images.amax(1) < 1.1)
    torch.testing.assert_close(
        found.maps["andi"][low], torch.full_like(found.maps["andi"][low], expected), rtol=1e-3, atol=1e-5
    )
    assert (found.maps["andi"][~batch.roi[:, 0]] == 0).all()
    assert found.healthy is not None
    mean = batch.images + 0.3 + share * sum(errors.values()) / 3
    inside = low[:, None].expand_as(mean)
    torch.testing.assert_close(found.healthy[inside], mean[inside], rtol=1e-3, atol=1e-4)


def test_distances_of_posterior_means_are_the_same_map_but_for_a_constant() -> None:
    schedule = andi().process.schedule
    generator = torch.Generator().manual_seed(0)
    scan = torch.rand((4, 4), generator=generator, dtype=torch.float64)
    squares, distances = [], []
    for time in range(25, 125, 10):
        kept, before = schedule.at(time), schedule.at(time - 1)
        ratio = (kept / (1 - kept)) / (before / (1 - before))
        noisy, drawn = torch.rand((2, 4, 4), generator=generator, dtype=torch.float64)

        def mean(clean: Tensor) -> Tensor:
            return ratio * math.sqrt(before / kept) * noisy + (1 - ratio) * math.sqrt(before) * clean  # noqa: B023

        squares.append((drawn - scan).square())
        distances.append((mean(drawn) - mean(scan)).square())
    quotient = geometric_mean(1e6 * torch.stack(distances)) / geometric_mean(1e6 * torch.stack(squares))
    torch.testing.assert_close(quotient, quotient.mean().expand_as(quotient), rtol=1e-4, atol=0)


def test_geometric_means_survive_a_level_without_error() -> None:
    squares = torch.tensor([[0.0, 4.0], [1.0, 9.0]])
    torch.testing.assert_close(geometric_mean(squares), torch.tensor([1e-6, 6.0]), rtol=1e-3, atol=0)


def test_images_are_asked_about_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    method = andi()
    network = built(method)
    batch = blob_batch(5)
    train(method, network, batch, steps=2)
    whole = method.explain(network, batch)
    monkeypatch.setattr("unlesion.methods.diffusion.andi.MOST_PIXELS", 2 * 2 * 32 * 32)
    unet = Asked()
    method.explain(network_of(unet), batch)
    assert unet.rows == [4, 4, 2]
    torch.testing.assert_close(method.explain(network, batch).maps, whole.maps, atol=1e-5, rtol=1e-3)


def test_chains_are_refused() -> None:
    with pytest.raises(ValueError, match="single steps"):
        ANDi.config_for("tiny", {"sampler": "ancestral"})


@pytest.mark.slow
def test_an_unseen_bright_spot_stands_out() -> None:
    method = andi(t_test=tuple(range(30, 126, 5)))
    network = built(method)
    train(method, network, blob_batch(128), steps=150)
    batch = blob_batch(8, seed=7)
    spot = torch.zeros(32, 32, dtype=torch.bool)
    spot[6:12, 18:24] = True
    batch.images[:] += 0.5 * (spot & batch.roi)
    found = method.explain(network, batch).maps["andi"]
    inside = found[(spot & batch.roi)[:, 0]].median()
    beside = found[(~spot & batch.roi)[:, 0]].median()
    assert float(inside) > 3 * float(beside)
