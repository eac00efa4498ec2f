"""A virtual person: image, true healthy twin, lesion mask, all deterministic by seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unlesion.errors import BadInput
from unlesion.phantom.contrast import MODALITIES
from unlesion.phantom.pathologies import PATHOLOGIES
from unlesion.phantom.person import draw_person
from unlesion.phantom.scanner import SITES, draw_scanner
from unlesion.phantom.seeds import Seed

Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class VirtualSubject:
    """A virtual person's scan on one grid (x, y, z), axes running right-anterior-superior.

    Attributes:
        images: modality name to float32 image, whole numbers as a scanner stores them, 0 outside the brain.
        twins: the same anatomy, scanner, bias and noise without the lesion and its mass effect; equal to
            `images` for a healthy person.
        mask: bool, voxels of which at least half is abnormal tissue; empty for a healthy person.
        roi: bool, the brain.
        affine: 4 x 4, voxel index to RAS+ mm.
        pathology: name, or None.
        size_ml: volume of the mask.
        age: years.
        sex: "F" or "M".
        site: name of the virtual site, whose scanner it was.
    """

    images: dict[str, Array]
    twins: dict[str, Array]
    mask: NDArray[np.bool_]
    roi: NDArray[np.bool_]
    affine: NDArray[np.float64]
    pathology: str | None
    size_ml: float
    age: int
    sex: str
    site: str

    @property
    def image(self) -> Array:
        """The image of the first modality."""
        return next(iter(self.images.values()))

    @property
    def twin(self) -> Array:
        """The healthy twin of the first modality."""
        return next(iter(self.twins.values()))


def make_subject(
    seed: Seed,
    *,
    pathology: str | None = None,
    volume_ml: float | None = None,
    modality: str | tuple[str, ...] = "FLAIR",
    spacing_mm: float = 2.0,
    site: str | None = None,
    sites_seed: Seed = 0,
) -> VirtualSubject:
    """Make one virtual person and scan them.

    The healthy twin does not depend on `pathology`: one seed is one person, with or without disease.

    Args:
        seed: who it is.
        pathology: a name of `PATHOLOGIES`, or None for a healthy person.
        volume_ml: of all lesions together, within the `smallest_ml` and `largest_ml` of the pathology; as is
            typical if None.
        modality: one or more of T1, T2, FLAIR, PD, on one grid.
        spacing_mm: voxel size: 1, 2 or 4.
        site: "A" to "D"; drawn if not given.
        sites_seed: decides what the scanners of the sites are like; a cohort shares it.

    Raises:
        BadInput: unknown pathology, modality, site or spacing; a volume that the pathology does not come in.
    """
    modalities = (modality,) if isinstance(modality, str) else tuple(modality)
    check_settings(pathology, modalities, spacing_mm, site)
    person = draw_person(seed, pathology=pathology, volume_ml=volume_ml, spacing_mm=spacing_mm)
    site = person.home if site is None else site
    images, twins = {}, {}
    for name in modalities:
        images[name], twins[name] = person.scan(name, draw_scanner(sites_seed, site, name), name)
    mask = person.mask()
    return VirtualSubject(
        images=images,
        twins=twins,
        mask=mask,
        roi=person.anatomy.brain,
        affine=person.anatomy.space.affine,
        pathology=pathology,
        size_ml=float(np.count_nonzero(mask) * spacing_mm**3 / 1000),
        age=person.age,
        sex=person.sex,
        site=site,
    )


def check_settings(
    pathology: str | None, modalities: tuple[str, ...], spacing_mm: float, site: str | None = None
) -> None:
    """Say in words what is not known.

    Raises:
        BadInput: for the first of them.
    """
    if pathology is not None and pathology not in PATHOLOGIES:
        raise BadInput(
            f"pathology {pathology!r} is not known to the phantom; choose from {', '.join(PATHOLOGIES)}"
        )
    unknown = [name for name in modalities if name not in MODALITIES]
    if unknown or not modalities:
        raise BadInput(f"modality {', '.join(unknown) or '(none)'}: choose from {', '.join(MODALITIES)}")
    if spacing_mm not in (1, 2, 4):
        raise BadInput(f"spacing {spacing_mm} mm: the phantom has 1, 2 or 4 mm voxels")
    if site is not None and site not in SITES:
        raise BadInput(f"site {site!r}: choose from {', '.join(SITES)}")
