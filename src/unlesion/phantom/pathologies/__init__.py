"""The pathologies of the virtual cohort, by the name that the manifest gives them."""

from __future__ import annotations

from unlesion.phantom.pathologies.base import Lesion, MassEffect, Patch, Pathology
from unlesion.phantom.pathologies.glioma import glioma
from unlesion.phantom.pathologies.hyperintensities import hyperintensities
from unlesion.phantom.pathologies.sclerosis import sclerosis
from unlesion.phantom.pathologies.stroke import stroke

PATHOLOGIES: dict[str, Pathology] = {
    "glioma": glioma,
    "multiple sclerosis": sclerosis,
    "stroke": stroke,
    "white-matter hyperintensities": hyperintensities,
}

__all__ = ["PATHOLOGIES", "Lesion", "MassEffect", "Patch", "Pathology"]
