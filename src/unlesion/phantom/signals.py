"""The signal of abnormal tissue, as multiples of the same scanner's white matter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unlesion.phantom.contrast import Appearance
from unlesion.phantom.pathologies.base import DISPLACED, TEXTURE, Lesion, Slices
from unlesion.synthesis import Space, blend, cloud, retexture

Array = NDArray[np.float32]

# Typical ratios to normal-appearing white matter; plaques: measured on public scans with lesion masks.
SIGNALS: dict[str, dict[str, float]] = {
    "oedema": {"T1": 0.76, "T2": 1.95, "FLAIR": 1.48, "PD": 1.32},
    "tumour": {"T1": 0.66, "T2": 1.75, "FLAIR": 1.42, "PD": 1.30},
    "necrosis": {"T1": 0.38, "T2": 3.00, "FLAIR": 0.75, "PD": 1.38},
    "infarct": {"T1": 0.64, "T2": 2.00, "FLAIR": 1.52, "PD": 1.40},
    "plaque": {"T1": 0.74, "T2": 1.75, "FLAIR": 1.45, "PD": 1.34},
    "gliosis": {"T1": 0.80, "T2": 1.60, "FLAIR": 1.40, "PD": 1.28},
    # Fluid like that of the ventricles, a little more protein.
    "cavity": {"T1": 0.21, "T2": 3.50, "FLAIR": 0.27, "PD": 1.33},
    # Old blood: iron takes the signal, T2 most.
    "blood": {"T1": 0.78, "T2": 0.35, "FLAIR": 0.50, "PD": 0.66},
}
# How mottled: standard deviation of the texture relative to the signal.
MOTTLING = {
    "oedema": 0.03,
    "tumour": 0.06,
    "necrosis": 0.035,
    "infarct": 0.035,
    "plaque": 0.022,
    "gliosis": 0.022,
    "cavity": 0.02,
    "blood": 0.03,
}

# How much of the tissue difference underneath is kept.
SHINE = {
    "oedema": 0.4,
    "tumour": 0.1,
    "necrosis": 0.0,
    "infarct": 0.45,
    "plaque": 0.2,
    "gliosis": 0.3,
    "cavity": 0.0,
    "blood": 0.0,
}
# Of a texture at strength 1: relative to white matter's signal, and how fine (mm).
ROUGHNESS, GRAIN_MM = 0.12, (2.4, 1.5)


def add_lesion(
    signal: Array,
    lesion: Lesion,
    fine: Space,
    appearance: Appearance,
    modality: str,
    rng: np.random.Generator,
) -> Array:
    """The ideal signal (fine space) with the lesion in it; `signal` itself where the lesion does not reach."""
    out = signal.copy()
    if lesion.mass_effect is not None:
        out[lesion.mass_effect.window] = np.maximum(lesion.mass_effect.apply(signal, order=3), 0)
    texture = cloud(fine, (9.0, 4.0), rng)
    for patch in lesion.patches:
        if patch.kind == DISPLACED:
            continue
        if patch.kind == TEXTURE:
            part = window_space(fine, patch.window)
            out[patch.window] = retexture(
                out[patch.window],
                patch.fraction,
                patch.strength,
                texture=cloud(part, GRAIN_MM, rng, within=fine, falloff=1.0),
                amplitude=ROUGHNESS * appearance.white,
                spacing=fine.spacing,
            )
            continue
        ratio = 1 + (SIGNALS[patch.kind][modality] - 1) * patch.strength
        background = out[patch.window]
        # Some of the grey-white difference shines through.
        shine = SHINE[patch.kind] * np.clip(background - appearance.white, -0.3, 0.3)
        level = shine + appearance.white * ratio * (1 + MOTTLING[patch.kind] * texture[patch.window])
        out[patch.window] = blend(background, level.astype(np.float32), patch.fraction)
    return out


def lesion_fraction(lesion: Lesion, fine: Space) -> Array:
    """Fraction 0..1 of abnormal tissue of any kind on the fine space."""
    return lesion.fraction(fine)


def window_space(fine: Space, window: Slices) -> Space:
    """A window of a space as a space."""
    corner = [low + part.start * fine.spacing for low, part in zip(fine.corner, window, strict=True)]
    extent = [(part.stop - part.start) * fine.spacing for part in window]
    return Space(extent=tuple(extent), spacing=fine.spacing, corner=tuple(corner))  # type: ignore[arg-type]
