"""Chains against closed forms, MONAI, and themselves there and back."""

from __future__ import annotations

import math

import pytest
import torch
from monai.networks.schedulers import DDIMScheduler, DDPMScheduler
from torch import Tensor

from tests.methods.scenes import blob_images
from unlesion.networks.diffusion.process import Process, Target
from unlesion.networks.diffusion.samplers import ancestral, ddim, descent
from unlesion.networks.diffusion.schedules import ScheduleKind, make_schedule
from unlesion.networks.diffusion.unet import DiffusionUNet

MONAIS = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}
SCHEDULES = {"linear": "linear_beta", "cosine": "cosine"}


def precise(theirs: torch.nn.Module, process: Process) -> None:
    """Replace MONAI's float32 tables, whose own errors are larger than 1e-6."""
    kept = process.schedule.kept
    theirs.alphas_cumprod = kept
    theirs.alphas = torch.cat([kept[:1], kept[1:] / kept[:-1]])
    theirs.betas = 1 - theirs.alphas
    theirs.one = torch.ones((), dtype=torch.float64)
    theirs.final_alpha_cumprod = theirs.one


def close(found: Tensor, expected: Tensor) -> None:
    """To 1e-6 of the largest value."""
    scale = float(expected.abs().max())
    torch.testing.assert_close(found / scale, expected.float() / scale, atol=1e-6, rtol=0)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_descent_ends_at_the_clean_image() -> None:
    assert descent(249, 25) == [*range(249, -1, -10), -1]
    assert descent(3, 4) == descent(3, 99) == [3, 2, 1, 0, -1]
    assert descent(499, 1) == [499, -1]


@pytest.mark.parametrize("target", ["x0", "eps", "v"])
@pytest.mark.parametrize("kind", ["linear", "cosine"])
@pytest.mark.parametrize("eta", [0.0, 0.7])
def test_a_ddim_step_is_monais(target: Target, kind: ScheduleKind, eta: float) -> None:
    theirs = DDIMScheduler(schedule=SCHEDULES[kind], clip_sample=False, prediction_type=MONAIS[target])
    theirs.set_timesteps(50)
    process = Process(make_schedule(kind), target)
    precise(theirs, process)
    images, answer = drawn(3, 1, 8, 8), drawn(3, 1, 8, 8, seed=1)
    for time in (19, 500, 900):
        expected, _ = theirs.step(answer, time, images, eta=eta, generator=torch.Generator().manual_seed(5))
        found = ddim(
            lambda noisy, times: answer,
            process,
            images,
            [time, time - 20],
            eta=eta,
            fresh=lambda step: drawn(3, 1, 8, 8, seed=5),
        )
        close(found, expected)


@pytest.mark.parametrize("target", ["x0", "eps"])
def test_an_ancestral_step_is_monais(target: Target) -> None:
    theirs = DDPMScheduler(schedule="linear_beta", clip_sample=False, prediction_type=MONAIS[target])
    process = Process(make_schedule("linear"), target)
    precise(theirs, process)
    images, answer = drawn(3, 1, 8, 8), drawn(3, 1, 8, 8, seed=1)
    for time in (1, 300, 900):
        expected, _ = theirs.step(answer, time, images, generator=torch.Generator().manual_seed(5))
        found = ddim(
            lambda noisy, times: answer,
            process,
            images,
            [time, time - 1],
            eta=1.0,
            fresh=lambda step: drawn(3, 1, 8, 8, seed=5),
        )
        close(found, expected)


class Normal:
    """The best possible denoiser of pixels that are normal with a given standard deviation, in closed form."""

    def __init__(self, process: Process, std: float) -> None:
        self.process, self.std, self.asked = process, std, 0

    def __call__(self, noisy: Tensor, times: Tensor) -> Tensor:
        self.asked += 1
        keep, add = self.process.schedule.factors(times, noisy.ndim - 2)
        clean = noisy * keep * self.std**2 / (keep.square() * self.std**2 + add.square())
        return self.process.wanted(clean, (noisy - keep * clean) / add, times)


@pytest.mark.parametrize("target", ["x0", "eps", "v"])
def test_chains_turn_noise_into_the_distribution_that_the_network_knows(target: Target) -> None:
    process = Process(make_schedule("linear"), target)
    answer = Normal(process, 0.3)
    noise = drawn(1, 1, 64, 64)
    told: list[tuple[int, int]] = []
    image = ddim(
        answer, process, noise, descent(999, 500), report=lambda done, total: told.append((done, total))
    )
    # The flow of a normal distribution only scales.
    torch.testing.assert_close(image, 0.3 * noise, atol=0.01, rtol=0.02)
    assert answer.asked == 500 and told[0] == (1, 500) and told[-1] == (500, 500)
    sampled = ancestral(answer, process, noise, 999, fresh=lambda step: drawn(1, 1, 64, 64, seed=step + 1))
    assert answer.asked == 1500
    assert float(sampled.std()) == pytest.approx(0.3, rel=0.05)
    assert abs(float((sampled * noise).mean() / sampled.std() / noise.std())) < 0.1


def test_a_chain_of_one_step_is_the_answer_itself() -> None:
    process = Process(make_schedule("cosine"), "x0")
    wanted = drawn(2, 1, 8, 8)
    torch.testing.assert_close(ddim(lambda *_: wanted, process, drawn(2, 1, 8, 8, seed=1), [499, -1]), wanted)


def test_what_is_known_is_put_in_at_every_step() -> None:
    process = Process(make_schedule("cosine"), "eps")
    image = ddim(
        lambda noisy, times: noisy,
        process,
        drawn(1, 1, 8, 8),
        descent(300, 7),
        correct=lambda clean: clean.clamp(-0.1, 0.1),
    )
    assert float(image.abs().max()) <= 0.1 + 1e-6


def test_noise_must_come_from_somewhere() -> None:
    process = Process(make_schedule("cosine"))
    with pytest.raises(ValueError, match="needs noise"):
        ddim(lambda noisy, times: noisy, process, drawn(1, 1, 8, 8), [500, 300, -1], eta=1.0)


def trained_unet(process: Process, signal: Tensor, *, steps: int) -> DiffusionUNet:
    torch.manual_seed(0)
    unet = DiffusionUNet(1, width=16, factors=(1, 2), blocks=1)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=2e-3)
    for step in range(steps):
        generator = torch.Generator().manual_seed(step)
        images = signal[torch.randint(len(signal), (16,), generator=generator)]
        noise = torch.randn(images.shape, generator=generator)
        times = torch.randint(1000, (16,), generator=generator)
        answer = unet(process.noisy(images, noise, times), times)
        loss = (answer - process.wanted(images, noise, times)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return unet.eval()


@pytest.mark.slow
def test_there_and_back_with_a_trained_network() -> None:
    process = Process(make_schedule("linear"), "eps")
    signal = 2 * nn_half(blob_images(64)[0]) - 1
    unet = trained_unet(process, signal, steps=150)
    images = 2 * nn_half(blob_images(4, seed=9)[0]) - 1
    errors = []
    with torch.no_grad():
        for steps in (10, 50):
            path = descent(399, steps)
            up = ddim(unet, process, images, path[::-1])
            back = ddim(unet, process, up, path)
            errors.append(float((back - images).square().mean().sqrt()))
        # Far from the image on the way, and back at it; the closer the steps, the closer.
        assert float((up - images).square().mean().sqrt()) > 0.2
    assert errors[1] < 0.5 * errors[0]
    assert errors[1] < 0.05, errors
    assert math.isfinite(errors[0])


def nn_half(images: Tensor) -> Tensor:
    """At 16 pixels, to be quick."""
    return torch.nn.functional.avg_pool2d(images, 2)
