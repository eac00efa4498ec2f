"""The examinations of `unlesion doctor`, one file a subject."""

from __future__ import annotations

from unlesion.doctor.examination import Examination
from unlesion.doctor.examinations.compression import Compression
from unlesion.doctor.examinations.confounds import Confounds
from unlesion.doctor.examinations.copies import Copies
from unlesion.doctor.examinations.faces import Faces
from unlesion.doctor.examinations.files import Files
from unlesion.doctor.examinations.geometry import Geometries
from unlesion.doctor.examinations.identity import Identity
from unlesion.doctor.examinations.looks import NearCopies, Orientation
from unlesion.doctor.examinations.masks import Masks
from unlesion.doctor.examinations.mixtures import Mixtures
from unlesion.doctor.examinations.modality import Modality
from unlesion.doctor.examinations.slices import Slices
from unlesion.doctor.examinations.subjects import Leakage, Numbers, SickSources
from unlesion.doctor.examinations.values import VoxelValues

CONFOUNDS = Confounds()

EXAMINATIONS: tuple[Examination, ...] = (
    Files(),
    VoxelValues(),
    Masks(),
    Geometries(),
    Mixtures(),
    Orientation(),
    Modality(),
    Copies(),
    NearCopies(),
    Leakage(),
    Numbers(),
    SickSources(),
    Slices(),
    Compression(),
    Identity(),
    Faces(),
)
"""All of them but the confounds, which also have a table of their own."""

__all__ = ["CONFOUNDS", "EXAMINATIONS"]
