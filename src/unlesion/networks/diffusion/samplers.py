"""From noise back to images: chains of any length, forth and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from unlesion.networks.diffusion.process import Process

# (noisy images (B, C, ...), times (B,)) -> the network's answer (B, C, ...).
Answer = Callable[[Tensor, Tensor], Tensor]
# A clean image that the network believes in, (B, C, ...), to one that may be: clipped, or known in parts.
Correct = Callable[[Tensor], Tensor]
# Number of a step -> noise like the images, for samplers that add some.
Fresh = Callable[[int], Tensor]
# (steps done, steps in all).
Report = Callable[[int, int], None]


def descent(start: int, steps: int) -> list[int]:
    """Times from `start` down to -1, the clean image, in so many equal steps, or as many as there are.

    Args:
        start: first time, from 0.
        steps: how often the network is asked; at least 1.
    """
    steps = min(steps, start + 1)
    return [round(start - (start + 1) * step / steps) for step in range(steps + 1)]


def ddim(
    answer: Answer,
    process: Process,
    images: Tensor,
    times: Sequence[int],
    *,
    eta: float = 0.0,
    fresh: Fresh | None = None,
    correct: Correct | None = None,
    report: Report | None = None,
) -> Tensor:
    """Go along a list of times, from the noise at the first to that at the last.

    Falling times take noise off; rising ones, with eta = 0, put it on so that the way down leads back (inversion). On
    the way up from the clean image, time -1, the network is asked at time 0.

    Args:
        answer: the network.
        process: says what its answers mean.
        images: (B, C, ...) at the first time.
        times: at least two, -1 for the clean image.
        eta: 0 adds no noise, 1 as much as the ancestral sampler.
        fresh: where that comes from.
        correct: what the clean image that is believed in must be like.
        report: told after every step.

    Returns:
        (B, C, ...) float32 at the last time.

    Source: Song et al., Denoising diffusion implicit models, ICLR 2021, equations 12 and 16.
    """
    images = images.float()
    for step, (now, then) in enumerate(pairwise(times)):
        at = torch.full((len(images),), max(now, 0), device=images.device)
        clean = process.clean_of(answer(images, at), images, at)
        if correct is not None:
            clean = correct(clean)
        noise = process.noise_of(clean, images, at)
        added = eta * _posterior_std(process, now, then) if eta and then >= 0 else 0.0
        kept = process.schedule.at(then)
        images = math.sqrt(kept) * clean + math.sqrt(max(0.0, 1 - kept - added**2)) * noise
        if added:
            if fresh is None:
                raise ValueError("a sampler with eta above 0 needs noise")
            images = images + added * fresh(step)
        if report is not None:
            report(step + 1, len(times) - 1)
    return images


def _posterior_std(process: Process, now: int, then: int) -> float:
    """Standard deviation of x at time `then`, given x at `now` and the clean image."""
    before, after = process.schedule.at(now), process.schedule.at(then)
    return math.sqrt((1 - after) / (1 - before) * (1 - before / after))


def ancestral(
    answer: Answer,
    process: Process,
    images: Tensor,
    start: int,
    *,
    fresh: Fresh,
    correct: Correct | None = None,
    report: Report | None = None,
) -> Tensor:
    """Every step from time `start` to the clean image, each a draw from the posterior (Ho et al. 2020).

    This is DDIM with eta = 1 and no step left out; the arguments are those of `ddim`.
    """
    times = descent(start, start + 1)
    return ddim(answer, process, images, times, eta=1.0, fresh=fresh, correct=correct, report=report)
