"""A virtual site's scanner, and what it does to an ideal signal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unlesion.phantom.contrast import Appearance, appearance, draw_appearance
from unlesion.phantom.seeds import Seed, stream
from unlesion.synthesis import Space, bias_field, limit_resolution, motion, rician, ringing, thick_slices

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
        slice_mm: thickness of slices along z; 0: as `fwhm_mm` says.
        ringing: share of k-space measured in the slice plane; 1: no Gibbs ringing.
        motion_mm: how far the head wanders during the measurement (standard deviation).
    """

    appearance: Appearance
    noise: float
    bias: float
    fwhm_mm: tuple[float, float, float]
    gain: float
    slice_mm: float = 0.0
    ringing: float = 1.0
    motion_mm: float = 0.0


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


# Four scanners that differ as scanners do, the same in every study: for measuring how a detector generalises.
# Name: contrast of grey and white, signal of fluid, and what `Scanner` says.
_FIXED: dict[str, dict[str, float]] = {
    "3T": {"contrast": 1.1, "fluid": 0.95, "noise": 0.010, "bias": 0.06, "fwhm": 0.9, "gain": 900},
    "1.5T": {"contrast": 1.0, "fluid": 1.0, "noise": 0.022, "bias": 0.025, "fwhm": 1.3, "gain": 400},
    "1.5T-thick": {
        "contrast": 0.88, "fluid": 1.1, "noise": 0.018, "bias": 0.04, "fwhm": 1.2, "gain": 600,
        "slice_mm": 6.0, "ringing": 0.8,
    },
    "3T-motion": {
        "contrast": 1.05, "fluid": 1.0, "noise": 0.014, "bias": 0.08, "fwhm": 1.0, "gain": 1100,
        "motion_mm": 1.5,
    },
}  # fmt: skip
SCANNERS = tuple(_FIXED)


def fixed_scanner(name: str, modality: str) -> Scanner:
    """One of `SCANNERS`, set to a modality; nothing about it is drawn."""
    of = _FIXED[name]
    return Scanner(
        appearance=appearance(modality, contrast=of["contrast"], fluid=of["fluid"]),
        noise=of["noise"],
        bias=of["bias"],
        fwhm_mm=(of["fwhm"], of["fwhm"], of["fwhm"]),
        gain=of["gain"],
        slice_mm=of.get("slice_mm", 0.0),
        ringing=of.get("ringing", 1.0),
        motion_mm=of.get("motion_mm", 0.0),
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
        self.path = _wander(space.shape[1], rng) * np.float32(scanner.motion_mm)

    def acquire(self, signal: Array) -> Array:
        """Ideal signal on the output space to stored values (whole numbers), 0 outside the brain."""
        scanner, spacing = self.scanner, self.space.spacing
        seen = limit_resolution(signal, scanner.fwhm_mm, spacing)
        if scanner.slice_mm > 0:
            seen = thick_slices(seen, scanner.slice_mm, spacing)
        if scanner.motion_mm > 0:
            seen = motion(seen, self.path, spacing)
        if scanner.ringing < 1:
            seen = ringing(seen, scanner.ringing)
        seen = seen * self.bias
        image = rician(seen, *self.noise) * np.float32(self.gain)
        return np.where(self.brain, np.maximum(np.rint(image), 1), 0).astype(np.float32)


def _wander(lines: int, rng: np.random.Generator) -> Array:
    """Where the head is at each line of k-space: mostly still, with a few sudden moves; standard deviation 1."""
    moves = np.zeros(lines, np.float32)
    when = rng.choice(np.arange(1, lines), size=max(2, lines // 12), replace=False)
    moves[when] = rng.standard_normal(when.size)
    path = np.cumsum(moves)
    return np.asarray((path - path.mean()) / max(float(path.std()), 1e-6), dtype=np.float32)
