"""Schedules and the forward process against closed forms and MONAI."""

from __future__ import annotations

import math

import pytest
import torch
from monai.networks.schedulers import DDPMScheduler

from unlesion.networks.diffusion.process import Process, Target
from unlesion.networks.diffusion.schedules import Schedule, ScheduleKind, make_schedule

KINDS = pytest.mark.parametrize(
    ("kind", "monai"), [("linear", "linear_beta"), ("cosine", "cosine")], ids=["linear", "cosine"]
)
TARGETS = pytest.mark.parametrize("target", ["x0", "eps", "v"])


@pytest.mark.parametrize(("time", "kept"), [(249, 0.8470), (499, 0.4938), (749, 0.1443), (999, 2.4e-9)])
def test_cosine_schedule_has_the_published_values(time: int, kept: float) -> None:
    assert float(make_schedule("cosine").kept[time]) == pytest.approx(kept, rel=2e-2, abs=5e-5)
    if time < 999:  # The last beta is held at 0.999.
        closed = [math.cos((at + 0.008) / 1.008 * math.pi / 2) ** 2 for at in ((time + 1) / 1000, 0.0)]
        assert float(make_schedule("cosine").kept[time]) == pytest.approx(closed[0] / closed[1], rel=1e-9)


@KINDS
def test_schedules_and_noisy_images_are_monais(kind: ScheduleKind, monai: str) -> None:
    theirs = DDPMScheduler(num_train_timesteps=1000, schedule=monai)
    ours = make_schedule(kind)
    torch.testing.assert_close(ours.kept.float(), theirs.alphas_cumprod, atol=1e-6, rtol=0)
    theirs.alphas_cumprod = ours.kept
    generator = torch.Generator().manual_seed(0)
    images, noise = (torch.randn((5, 2, 8, 8), generator=generator) for _ in range(2))
    times = torch.tensor([0, 1, 250, 500, 998])
    torch.testing.assert_close(
        Process(ours).noisy(images, noise, times),
        theirs.add_noise(original_samples=images.double(), noise=noise.double(), timesteps=times).float(),
        atol=1e-6,
        rtol=0,
    )


def test_a_shorter_linear_schedule_ends_as_noisy() -> None:
    short, long = make_schedule("linear", 100), make_schedule("linear")
    assert float(short.kept[-1].log() / long.kept[-1].log()) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("shift", [0.0, 2 * math.log(56 / 224)])
def test_log_snr_is_a_shifted_cosine(shift: float) -> None:
    kept = make_schedule("log-snr", shift=shift).kept
    found = (kept / (1 - kept)).log()
    assert (found.diff() < 0).all()
    # Half way the ratio is 1 before the shift, and the end is that of the limits.
    assert float(found[499]) == pytest.approx(shift, abs=1e-6)
    assert float(found[-1]) == pytest.approx(shift - 15, abs=1e-3)
    # Without shift and limits it is the plain cosine: abar = cos(pi t / 2)^2.
    if not shift:
        times = torch.arange(1, 1000, dtype=torch.float64) / 1000
        torch.testing.assert_close(kept[:-1], (times * math.pi / 2).cos().square(), atol=2e-3, rtol=0)


def test_variance_of_the_forward_process_is_that_of_the_closed_form() -> None:
    process = Process(make_schedule("cosine"))
    generator = torch.Generator().manual_seed(0)
    clean = torch.full((1, 1, 400, 400), 0.7)
    for time in (249, 749):
        noisy = process.noisy(clean, torch.randn(clean.shape, generator=generator), torch.tensor([time]))
        kept = float(process.schedule.kept[time])
        assert float(noisy.mean()) == pytest.approx(0.7 * math.sqrt(kept), abs=0.01)
        assert float(noisy.var()) == pytest.approx(1 - kept, rel=0.02)


def test_time_minus_one_is_the_clean_image() -> None:
    process = Process(make_schedule("linear"))
    images, noise = torch.rand(2, 1, 4, 4), torch.randn(2, 1, 4, 4)
    assert torch.equal(process.noisy(images, noise, torch.tensor([-1, -1])), images)


@TARGETS
@pytest.mark.parametrize("shape", [(6, 1, 8, 8), (6, 2, 4, 4, 4)])
def test_a_perfect_answer_gives_back_image_and_noise(target: Target, shape: tuple[int, ...]) -> None:
    process = Process(make_schedule("cosine"), target)
    images, noise = torch.rand(shape), torch.randn(shape)
    times = torch.tensor([1, 50, 249, 499, 749, 900])
    noisy = process.noisy(images, noise, times)
    clean = process.clean_of(process.wanted(images, noise, times), noisy, times)
    torch.testing.assert_close(clean, images, atol=2e-5, rtol=0)
    torch.testing.assert_close(process.noise_of(images, noisy, times), noise, atol=2e-4, rtol=0)


def test_velocity_is_what_turns_image_into_noise() -> None:
    # With angle a: x = cos(a) x0 + sin(a) n, so dx/da = cos(a) n - sin(a) x0.
    angle = torch.tensor([0.3, 0.3001], dtype=torch.float64)
    process = Process(Schedule(angle.cos().square()), "v")
    images, noise = torch.rand(1, 1, 4, 4), torch.randn(1, 1, 4, 4)
    now, then = (process.noisy(images, noise, torch.tensor([time])).double() for time in (0, 1))
    wanted = process.wanted(images, noise, torch.tensor([0])).double()
    torch.testing.assert_close((then - now) / 1e-4, wanted, atol=1e-2, rtol=1e-2)
