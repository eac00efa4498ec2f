"""From tissue to signal: what each modality shows, drawn anew for each scanner."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unlesion.errors import BadInput
from unlesion.phantom.anatomy import Anatomy
from unlesion.synthesis import cloud

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Appearance:
    """Mean signal of the healthy tissues in one modality, the brightest at about 1.

    `deep` is added in the grey matter of the deep nuclei: their iron darkens T2 and FLAIR.
    """

    white: float
    grey: float
    fluid: float
    deep: float = 0.0


# Typical values after scaling the brightest tissue to about 1; ratios measured on public 1.5 T and 3 T scans.
APPEARANCES: dict[str, Appearance] = {
    "T1": Appearance(white=0.90, grey=0.62, fluid=0.17),
    "T2": Appearance(white=0.29, grey=0.40, fluid=1.05, deep=-0.05),
    "FLAIR": Appearance(white=0.70, grey=0.87, fluid=0.16, deep=-0.08),
    "PD": Appearance(white=0.66, grey=0.82, fluid=0.88),
}
MODALITIES = tuple(APPEARANCES)


def draw_appearance(modality: str, rng: np.random.Generator) -> Appearance:
    """This scanner's tissue signals: up to a few per cent off the typical ones, the order of tissues kept."""
    if modality not in APPEARANCES:
        raise BadInput(
            f"modality {modality!r} is not known to the phantom; choose from {', '.join(MODALITIES)}"
        )
    step = float(rng.uniform(0.88, 1.15))
    return appearance(modality, contrast=step, fluid=float(np.exp(rng.normal(0, 0.08))))


def appearance(modality: str, *, contrast: float = 1.0, fluid: float = 1.0) -> Appearance:
    """The typical signals, with `contrast` times the difference of grey from white, and `fluid` times fluid's."""
    typical = APPEARANCES[modality]
    return Appearance(
        white=typical.white,
        grey=typical.white + (typical.grey - typical.white) * contrast,
        fluid=typical.fluid * fluid,
        deep=typical.deep,
    )


def ideal_signal(anatomy: Anatomy, appearance: Appearance, rng: np.random.Generator) -> Array:
    """Noise-free signal on the fine space: tissue mixture, template detail, and slow variation inside tissues."""
    contrast = appearance.white - appearance.grey
    variation = cloud(anatomy.fine, (24.0, 10.0, 5.0), rng)
    signal = (
        anatomy.white * np.float32(appearance.white)
        + anatomy.grey * np.float32(appearance.grey)
        + anatomy.fluid * np.float32(appearance.fluid)
    )
    tissue = anatomy.white + anatomy.grey
    signal += anatomy.deep * np.float32(appearance.deep)
    signal += np.float32(0.6 * contrast) * anatomy.detail * tissue
    signal *= 1 + tissue * variation * np.float32(0.015)
    return np.maximum(signal, 0)
