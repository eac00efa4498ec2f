"""A virtual person: image, true healthy twin, lesion mask, all deterministic by seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unlesion.errors import BadInput
from unlesion.phantom.anatomy import OVERSAMPLING, draw_anatomy, output_space
from unlesion.phantom.contrast import MODALITIES, ideal_signal
from unlesion.phantom.pathologies import PATHOLOGIES
from unlesion.phantom.scanner import SITES, Acquisition, draw_scanner
from unlesion.phantom.seeds import Seed, stream
from unlesion.phantom.signals import add_lesion, lesion_fraction
from unlesion.synthesis import average_blocks

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
        modality: one or more of T1, T2, FLAIR, PD, on one grid.
        spacing_mm: voxel size: 1, 2 or 4.
        site: "A" to "D"; drawn if not given.
        sites_seed: decides what the scanners of the sites are like; a cohort shares it.

    Raises:
        BadInput: unknown pathology, modality, site or spacing.
    """
    modalities = (modality,) if isinstance(modality, str) else tuple(modality)
    _check(pathology, modalities, spacing_mm, site)
    person = stream(seed, "person")
    age, sex = int(np.clip(person.normal(50, 17), 20, 85)), str(person.choice(["F", "M"]))
    drawn = str(person.choice(SITES))
    site = drawn if site is None else site

    space = output_space(spacing_mm, stream(seed, "position"))
    anatomy = draw_anatomy(space, stream(seed, "anatomy"), age=age)
    lesion = None if pathology is None else PATHOLOGIES[pathology](anatomy, stream(seed, "lesion", pathology))

    images, twins = {}, {}
    for name in modalities:
        scanner = draw_scanner(sites_seed, site, name)
        session = Acquisition(scanner, space, anatomy.brain, stream(seed, "session", name))
        # One variation inside tissues for all modalities: it belongs to the person.
        signal = ideal_signal(anatomy, scanner.appearance, stream(seed, "tissue"))
        twins[name] = session.acquire(average_blocks(signal, OVERSAMPLING))
        images[name] = twins[name]
        if lesion is not None:
            sick = add_lesion(
                signal, lesion, anatomy.fine, scanner.appearance, name, stream(seed, "mottling")
            )
            images[name] = session.acquire(average_blocks(sick, OVERSAMPLING))

    mask = np.zeros(space.shape, bool)
    if lesion is not None:
        share = average_blocks(lesion_fraction(lesion, anatomy.fine), OVERSAMPLING) * anatomy.brain
        # On coarse grids a small lesion may nowhere fill half a voxel; it is marked where it is most.
        mask = share >= min(0.5, float(share.max()) * 0.75)
    return VirtualSubject(
        images=images,
        twins=twins,
        mask=mask,
        roi=anatomy.brain,
        affine=space.affine,
        pathology=pathology,
        age=age,
        sex=sex,
        site=site,
    )


def _check(pathology: str | None, modalities: tuple[str, ...], spacing_mm: float, site: str | None) -> None:
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
