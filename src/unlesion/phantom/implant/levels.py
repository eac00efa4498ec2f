"""The signal of abnormal tissue in a real scan, on the scale that the scan's own tissues set."""

from __future__ import annotations

import numpy as np

from unlesion.phantom.contrast import APPEARANCES
from unlesion.phantom.implant.tissue import Tissue, ordered
from unlesion.phantom.signals import SIGNALS

# Fluid is fluid, in a faint lesion too: the contrast that is drawn for a lesion leaves these kinds alone.
FLUID_LIKE = frozenset({"cavity", "necrosis"})


def level_of(kind: str, tissue: Tissue, *, strength: float = 1.0) -> float:
    """Mean signal of an abnormal tissue in the scan's units, without its bias.

    What is typical for the modality is read off a scale whose marks are the scan's own fluid, grey and white
    matter: a lesion halfway between grey and white matter there is halfway between them here.

    Args:
        kind: a key of `unlesion.phantom.signals.SIGNALS`.
        tissue: of the scan.
        strength: multiplies the difference to white matter.
    """
    look = APPEARANCES[tissue.modality]
    typical = look.white * (1 + (SIGNALS[kind][tissue.modality] - 1) * strength)
    order = ordered(tissue.modality)
    marks = [0.0, *(float(getattr(look, name)) for name in order)]
    values = [0.0, *(tissue.levels[name] for name in order)]
    if typical > marks[-1]:
        return values[-1] * typical / marks[-1]
    return float(np.interp(max(typical, 0.0), marks, values))
