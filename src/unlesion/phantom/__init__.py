"""Virtual people: healthy anatomy, pathologies with true healthy twins, and whole cohorts of them."""

from __future__ import annotations

from unlesion.phantom.cohort import write_cohort
from unlesion.phantom.contrast import MODALITIES
from unlesion.phantom.design import Role, standard_role
from unlesion.phantom.pathologies import PATHOLOGIES
from unlesion.phantom.subject import VirtualSubject, make_subject

__all__ = [
    "MODALITIES",
    "PATHOLOGIES",
    "Role",
    "VirtualSubject",
    "make_subject",
    "standard_role",
    "write_cohort",
]
