"""Virtual people: healthy anatomy, pathologies with true healthy twins, and whole cohorts of them."""

from __future__ import annotations

from unlesion.phantom.cohort import write_cohort
from unlesion.phantom.contrast import MODALITIES
from unlesion.phantom.design import Role, standard_role
from unlesion.phantom.grid import write_grid
from unlesion.phantom.pathologies import PATHOLOGIES, STANDARD
from unlesion.phantom.scanner import SCANNERS
from unlesion.phantom.subject import VirtualSubject, make_subject

__all__ = [
    "MODALITIES",
    "PATHOLOGIES",
    "SCANNERS",
    "STANDARD",
    "Role",
    "VirtualSubject",
    "make_subject",
    "standard_role",
    "write_cohort",
    "write_grid",
]
