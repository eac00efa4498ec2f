"""Lesions of virtual pathologies in real healthy scans, whose originals are the true twins."""

from __future__ import annotations

from unlesion.phantom.implant.anatomy import RealAnatomy, anatomy_of
from unlesion.phantom.implant.blending import Blended, blend_in
from unlesion.phantom.implant.cohort import Implants, write_implants
from unlesion.phantom.implant.make import Implanted, make_implant
from unlesion.phantom.implant.plan import Implant, Sizes, plan_implants

__all__ = [
    "Blended",
    "Implant",
    "Implanted",
    "Implants",
    "RealAnatomy",
    "Sizes",
    "anatomy_of",
    "blend_in",
    "make_implant",
    "plan_implants",
    "write_implants",
]
