"""A virtual person before any scanner: anatomy and lesion; and what one scanner makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unlesion.phantom.anatomy import OVERSAMPLING, Anatomy, draw_anatomy, output_space
from unlesion.phantom.contrast import ideal_signal
from unlesion.phantom.pathologies import PATHOLOGIES, Lesion
from unlesion.phantom.scanner import SITES, Acquisition, Scanner
from unlesion.phantom.seeds import Seed, stream
from unlesion.phantom.signals import add_lesion, lesion_fraction
from unlesion.synthesis import average_blocks

Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Person:
    """Who goes into the scanner.

    Attributes:
        seed: who it is.
        anatomy: the healthy anatomy.
        lesion: what is abnormal, or None.
        age: years.
        sex: "F" or "M".
        home: the virtual site that the person goes to if nothing else is said.
    """

    seed: Seed
    anatomy: Anatomy
    lesion: Lesion | None
    age: int
    sex: str
    home: str

    def mask(self) -> NDArray[np.bool_]:
        """Voxels (output space) of which at least half is abnormal; empty for a healthy person."""
        space = self.anatomy.space
        if self.lesion is None:
            return np.zeros(space.shape, bool)
        share = average_blocks(lesion_fraction(self.lesion, self.anatomy.fine), OVERSAMPLING)
        share *= self.anatomy.brain
        # On coarse grids a small lesion may nowhere fill half a voxel; it is marked where it is most.
        least = min(0.5, float(share.max()) * 0.75)
        return share >= max(least, 1e-3)

    def scan(self, modality: str, scanner: Scanner, *session: str) -> tuple[Array, Array]:
        """Image and healthy twin (output space); `session` names the session, whose noise both share."""
        anatomy = self.anatomy
        visit = Acquisition(scanner, anatomy.space, anatomy.brain, stream(self.seed, "session", *session))
        # One variation inside tissues for all modalities: it belongs to the person.
        signal = ideal_signal(anatomy, scanner.appearance, stream(self.seed, "tissue"))
        twin = visit.acquire(average_blocks(signal, OVERSAMPLING))
        if self.lesion is None:
            return twin, twin
        sick = add_lesion(
            signal, self.lesion, anatomy.fine, scanner.appearance, modality, stream(self.seed, "mottling")
        )
        return visit.acquire(average_blocks(sick, OVERSAMPLING)), twin


def draw_person(
    seed: Seed, *, pathology: str | None = None, volume_ml: float | None = None, spacing_mm: float = 2.0
) -> Person:
    """Draw who it is; one seed is one person, with or without disease.

    Args:
        seed: who.
        pathology: a name of `PATHOLOGIES`, or None.
        volume_ml: of all lesions together; as is typical if None.
        spacing_mm: voxel size of the scans to come.

    Raises:
        BadInput: the pathology does not come in that volume.
    """
    person = stream(seed, "person")
    age, sex = int(np.clip(person.normal(50, 17), 20, 85)), str(person.choice(["F", "M"]))
    home = str(person.choice(SITES))
    space = output_space(spacing_mm, stream(seed, "position"))
    anatomy = draw_anatomy(space, stream(seed, "anatomy"), age=age)
    lesion = None
    if pathology is not None:
        lesion = PATHOLOGIES[pathology](anatomy, stream(seed, "lesion", pathology), volume_ml=volume_ml)
    return Person(seed=seed, anatomy=anatomy, lesion=lesion, age=age, sex=sex, home=home)
