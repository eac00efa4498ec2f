"""A virtual site's scanner, and what it does to an ideal signal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unlesion.phantom.contrast import Appearance, draw_appearance
from unlesion.phantom.seeds import Seed, stream
from unlesion.synthesis import Space, bias_field, limit_resolution, rician

Array = NDArray[np.float32]

SITES = ("A", "B", "C", "D")


@dataclass(frozen=True, kw_only=True)
class Scanner:
    """One site's protocol for one modality.

    Attributes:
        appearance: tissue signals.
        noise: standard deviation of the complex noise, as a share of white matter's signal.
        bias: standard deviation of the logarithm of the receive field.
        fwhm_mm: resolution along x, y, z.
        gain: stored value of signal 1.
    """

    appearance: Appearance
    noise: float
    bias: float
    fwhm_mm: tuple[float, float, float]
    gain: float


def draw_scanner(cohort_seed: Seed, site: str, modality: str) -> Scanner:
    """The scanner of a site: the same for all its subjects."""
    rng = stream(cohort_seed, "scanner", site, modality)
    sharp = rng.uniform(0.8, 1.5)
    return Scanner(
        appearance=draw_appearance(modality, rng),
        noise=float(rng.uniform(0.012, 0.03)),
        bias=float(rng.uniform(0.015, 0.05)),
        fwhm_mm=(sharp, sharp, float(sharp * rng.uniform(1.0, 1.5))),
        gain=float(rng.uniform(300, 1100)),
    )


class Acquisition:
    """One session in a scanner: fixed receive field, noise and gain, for an image and its twin alike."""

    def __init__(
        self, scanner: Scanner, space: Space, brain: NDArray[np.bool_], rng: np.random.Generator
    ) -> None:
        self.scanner, self.space, self.brain = scanner, space, brain
        self.gain = scanner.gain * float(np.exp(rng.normal(0, 0.1)))
        self.bias = bias_field(space, scanner.bias, rng)
        level = np.float32(scanner.noise * scanner.appearance.white)
        self.noise = [level * rng.standard_normal(space.shape, dtype=np.float32) for _ in range(2)]

    def acquire(self, signal: Array) -> Array:
        """Ideal signal on the output space to stored values (whole numbers), 0 outside the brain."""
        seen = limit_resolution(signal, self.scanner.fwhm_mm, self.space.spacing) * self.bias
        image = rician(seen, *self.noise) * np.float32(self.gain)
        return np.where(self.brain, np.maximum(np.rint(image), 1), 0).astype(np.float32)
