"""The forward process in closed form, and what a network may be asked to tell about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from unlesion.networks.diffusion.schedules import Schedule

Target = Literal["x0", "eps", "v"]


@dataclass(frozen=True, eq=False)
class Process:
    """x_t = sqrt(abar_t) x0 + sqrt(1 - abar_t) n, and back.

    Attributes:
        schedule: gives abar.
        target: what the network tells: the clean image "x0", the noise "eps", or the velocity
            "v" = sqrt(abar) n - sqrt(1 - abar) x0 (Salimans and Ho 2022).
    """

    schedule: Schedule
    target: Target = "x0"

    def noisy(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """x_t; images and noise (B, C, ...), times (B,), -1 for the clean image itself."""
        keep, add = self.schedule.factors(times, clean.ndim - 2)
        return keep * clean + add * noise

    def wanted(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """What a perfect network would answer, (B, C, ...)."""
        if self.target == "x0":
            return clean
        if self.target == "eps":
            return noise
        keep, add = self.schedule.factors(times, clean.ndim - 2)
        return keep * noise - add * clean

    def clean_of(self, answer: Tensor, noisy: Tensor, times: Tensor) -> Tensor:
        """The clean image that an answer stands for, (B, C, ...) float32."""
        answer = answer.float()
        if self.target == "x0":
            return answer
        keep, add = self.schedule.factors(times, noisy.ndim - 2)
        if self.target == "eps":
            return (noisy - add * answer) / keep
        return keep * noisy - add * answer

    def noise_of(self, clean: Tensor, noisy: Tensor, times: Tensor) -> Tensor:
        """The noise that makes `noisy` of `clean`, (B, C, ...); times from 0."""
        keep, add = self.schedule.factors(times, noisy.ndim - 2)
        return (noisy - keep * clean) / add
