"""How much of an image is left after so many steps of noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

ScheduleKind = Literal["cosine", "linear", "log-snr"]
# Ends of the logarithmic signal-to-noise ratio of "log-snr", before the shift.
MOST_LOG_SNR = 15.0


@dataclass(frozen=True, eq=False)
class Schedule:
    """The share of the clean image's variance that is left at each time: abar.

    Times are counted from 0 (one step of noise) to `length` - 1 (next to nothing left); -1 is the clean image.

    Attributes:
        kept: abar, (length,) float64 on the CPU, falling.
    """

    kept: Tensor

    @property
    def length(self) -> int:
        """Number of steps, T."""
        return len(self.kept)

    def at(self, time: int) -> float:
        """The share left at a time, 1 at -1."""
        return float(self.kept[time]) if time >= 0 else 1.0

    def factors(self, times: Tensor, dims: int) -> tuple[Tensor, Tensor]:
        """sqrt(abar) and sqrt(1 - abar) at some times, to multiply images and noise with.

        Both are computed in float64, where small differences survive, and rounded at the end.

        Args:
            times: (B,) integers, -1 to length - 1.
            dims: spatial dimensions of the images.

        Returns:
            Twice (B, 1, 1, ...) float32 on the device of `times`.
        """
        kept = torch.cat([self.kept, self.kept.new_ones(1)])[times.cpu()]
        shape = (-1, *[1] * (dims + 1))
        image, noise = kept.sqrt().float().reshape(shape), (1.0 - kept).sqrt().float().reshape(shape)
        return image.to(times.device), noise.to(times.device)


def make_schedule(kind: ScheduleKind, length: int = 1000, *, shift: float = 0.0) -> Schedule:
    """A schedule by name.

    Args:
        kind: "linear" (betas from 1e-4 to 0.02; Ho et al. 2020), "cosine" (offset 0.008, betas at most
            0.999; Nichol and Dhariwal 2021), or "log-snr": cosine, too, but given by the logarithm of
            abar / (1 - abar), which runs from 15 to -15 and may be shifted as a whole (Hoogeboom et al. 2023).
        length: number of steps. Linear betas are scaled by 1000 / `length`, so that the end is as noisy.
        shift: of "log-snr"; below 0 there is more noise at every time.
    """
    if kind == "log-snr":
        first, last = math.atan(math.exp(-MOST_LOG_SNR / 2)), math.atan(math.exp(MOST_LOG_SNR / 2))
        at = torch.arange(1, length + 1, dtype=torch.float64, device="cpu") / length
        return Schedule((shift - 2 * (first + at * (last - first)).tan().log()).sigmoid())
    if kind == "linear":
        scale = 1000 / length
        betas = torch.linspace(1e-4 * scale, 0.02 * scale, length, dtype=torch.float64, device="cpu")
    else:
        at = torch.arange(length + 1, dtype=torch.float64, device="cpu") / length
        curve = torch.cos((at + 0.008) / 1.008 * math.pi / 2).square()
        betas = 1.0 - curve[1:] / curve[:-1]
    return Schedule((1.0 - betas.clamp(max=0.999)).cumprod(0))
