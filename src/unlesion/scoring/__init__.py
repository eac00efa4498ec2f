"""Scorers: evidence to a map and a scan score; post-processing common to all methods."""

from __future__ import annotations

from unlesion.scoring.config import COMMON, PatchConfig, PostConfig, ScoringConfig
from unlesion.scoring.evidence import PreparedLike, ScanEvidence
from unlesion.scoring.post import label_components, post_process, remove_small
from unlesion.scoring.scorer import Scorer, make_scorer, pool_map
from unlesion.scoring.similarity import local_ssim

__all__ = [
    "COMMON",
    "PatchConfig",
    "PostConfig",
    "PreparedLike",
    "ScanEvidence",
    "Scorer",
    "ScoringConfig",
    "label_components",
    "local_ssim",
    "make_scorer",
    "pool_map",
    "post_process",
    "remove_small",
]
