"""The pathologies of the virtual cohort, by the name that the manifest gives them."""

from __future__ import annotations

from unlesion.phantom.pathologies.acute_stroke import acute_stroke
from unlesion.phantom.pathologies.base import DISPLACED, TEXTURE, Lesion, MassEffect, Patch, Pathology
from unlesion.phantom.pathologies.chronic_stroke import chronic_stroke
from unlesion.phantom.pathologies.glioma import glioma
from unlesion.phantom.pathologies.hyperintensities import hyperintensities
from unlesion.phantom.pathologies.microbleeds import microbleeds
from unlesion.phantom.pathologies.resection import resection
from unlesion.phantom.pathologies.sclerosis import sclerosis
from unlesion.phantom.pathologies.texture import texture
from unlesion.phantom.pathologies.ventricles import ventricles

PATHOLOGIES: dict[str, Pathology] = {
    pathology.name: pathology
    for pathology in (
        glioma,
        sclerosis,
        acute_stroke,
        hyperintensities,
        chronic_stroke,
        microbleeds,
        resection,
        ventricles,
        texture,
    )
}

# What a person sees at a glance on FLAIR: the cohort of the demo.
STANDARD = ("glioma", "multiple sclerosis", "acute stroke", "white-matter hyperintensities")

__all__ = ["DISPLACED", "PATHOLOGIES", "STANDARD", "TEXTURE", "Lesion", "MassEffect", "Patch", "Pathology"]
