"""The pathologies of the virtual cohort, by the name that the manifest gives them."""

from __future__ import annotations

from unlesion.phantom.pathologies.base import DISPLACED, TEXTURE, Lesion, MassEffect, Patch, Pathology
from unlesion.phantom.pathologies.glioma import glioma
from unlesion.phantom.pathologies.hyperintensities import hyperintensities
from unlesion.phantom.pathologies.sclerosis import sclerosis
from unlesion.phantom.pathologies.stroke import stroke

PATHOLOGIES: dict[str, Pathology] = {
    pathology.name: pathology for pathology in (glioma, sclerosis, stroke, hyperintensities)
}

__all__ = ["DISPLACED", "PATHOLOGIES", "TEXTURE", "Lesion", "MassEffect", "Patch", "Pathology"]
