"""One scan, several lesions: grow, blend, measure."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from unlesion.errors import BadInput
from unlesion.phantom.implant.anatomy import RealAnatomy
from unlesion.phantom.implant.blending import Blended, blend_in
from unlesion.phantom.implant.plan import Implant, ball_of_section, slab_volume
from unlesion.phantom.pathologies import PATHOLOGIES
from unlesion.phantom.pathologies.ventricles import ventricles
from unlesion.seeds import seed_of

# A lesion may miss the volume asked for by this factor before another place is tried, so many times.
_CLOSE, _TRIES = 1.35, 4
# A slice may cut little of the ventricles; more than this share of what it cuts is no enlargement any more but a disc.
_WIDEST = 0.8


@dataclass(frozen=True, kw_only=True, eq=False)
class Implanted:
    """A scan with one implanted lesion.

    Attributes:
        blended: image and mask.
        size_ml: volume of the mask; of a slice, that of the ball with this section.
        size_mm2: area of the mask of a slice, else None.
    """

    blended: Blended
    size_ml: float
    size_mm2: float | None


def make_implant(real: RealAnatomy, implant: Implant) -> Implanted:
    """Grow one lesion in a real anatomy and blend it into the scan.

    Raises:
        BadInput: there is no place for this pathology in the scan.
    """
    pathology = PATHOLOGIES[implant.pathology]
    wanted = implant.volume_ml
    if real.box.flat:
        wanted = slab_volume(wanted, real.anatomy.space.extent[2])
        # The limits of a pathology are those of whole lesions, not of what a slab holds of them.
        pathology = replace(pathology, smallest_ml=0.0, largest_ml=np.inf)
        if implant.pathology == ventricles.name:
            wanted = min(wanted, _WIDEST * _ventricles_ml(real))
            if wanted <= 0:
                raise BadInput(
                    f"{implant.key}: no place for {implant.pathology} in this slice, which shows no ventricle; leave it out with "
                    "--pathologies"
                )
    best: Implanted | None = None
    for attempt in range(_TRIES):
        rng = np.random.default_rng(seed_of(implant.seed, "place", attempt))
        lesion = pathology(real.anatomy, rng, volume_ml=wanted)
        mottling = np.random.default_rng(seed_of(implant.seed, "mottling"))
        found = _measured(real, blend_in(real, lesion, mottling, strength=implant.strength))
        if best is None or _miss(found, implant) < _miss(best, implant):
            best = found
        if _miss(best, implant) < np.log(_CLOSE):
            break
    if best is None or not best.blended.mask.any():
        raise BadInput(
            f"{implant.key}: no place for {implant.pathology} of {implant.volume_ml:g} ml in this scan; "
            "leave it out with --pathologies"
        )
    return best


def _ventricles_ml(real: RealAnatomy) -> float:
    """Volume of the ventricles in a scan, in ml."""
    anatomy = real.anatomy
    return float((anatomy.from_ventricles <= 0).sum()) * anatomy.space.spacing**3 / 1000


def _measured(real: RealAnatomy, blended: Blended) -> Implanted:
    count = int(blended.mask.sum())
    sizes = real.box.sizes
    if not real.box.flat:
        return Implanted(blended=blended, size_ml=count * float(np.prod(sizes)) / 1000, size_mm2=None)
    area = count * sizes[0] * sizes[1]
    return Implanted(blended=blended, size_ml=ball_of_section(area), size_mm2=area)


def _miss(found: Implanted, implant: Implant) -> float:
    return abs(float(np.log(max(found.size_ml, 1e-6) / implant.volume_ml)))
