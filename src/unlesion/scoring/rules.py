"""Rules: from evidence to a signal per channel, before any sign is taken."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from unlesion.errors import BadInput
from unlesion.scoring.config import PatchConfig
from unlesion.scoring.evidence import Floats, ScanEvidence
from unlesion.scoring.patches import patch_map
from unlesion.scoring.similarity import local_ssim

Sign = Literal["both", "bright", "dark"]


def signal_of(rule: str, evidence: ScanEvidence, *, sign: Sign, patch: PatchConfig) -> Floats:
    """The signal of one rule, 0 outside the roi.

    "residual" is scan - healthy, signed. "ssim" is 1 - SSIM, never negative; for "bright" and "dark" it
    counts only where the scan is brighter or darker than the healthy image. "patch" is 1 - cosine of the likest
    patches, 0 to 2, with the same signs. "map:NAME" is the method's own map as it stands.

    Args:
        rule: one factor of `ScoringConfig.rule`.
        evidence: of a whole scan.
        sign: what is looked for; only "ssim" and "patch" need it here.
        patch: for "patch".

    Returns:
        (S, C, H, W) float32 (one channel for a map).

    Raises:
        BadInput: the method has no such evidence.
    """
    roi = evidence.prepared.roi[:, None]
    if rule.startswith("map:"):
        name = rule.removeprefix("map:")
        if name not in evidence.maps:
            there = ", ".join(f"map:{known}" for known in sorted(evidence.maps)) or "none"
            raise BadInput(f"scoring.rule={rule}: the method has no map {name!r}; its own maps: {there}")
        own = np.where(roi, evidence.maps[name][:, None], np.float32(0)).astype(np.float32, copy=False)
        return own if sign == "both" else _towards(own, evidence, rule, sign)
    if evidence.healthy is None:
        there = " or ".join(f"map:{known}" for known in sorted(evidence.maps)) or "another method"
        raise BadInput(f"scoring.rule={rule}: the method draws no healthy image; use {there}")
    residual = evidence.prepared.images - evidence.healthy
    if rule == "residual":
        return np.where(roi, residual, np.float32(0)).astype(np.float32, copy=False)
    if rule == "patch":
        unlike = patch_map(evidence.prepared, evidence.healthy, patch)
    else:
        unlike = np.clip(1 - local_ssim(evidence.prepared.images, evidence.healthy), 0, 2)
    if sign != "both":
        unlike = np.where(residual > 0 if sign == "bright" else residual < 0, unlike, 0)
    return np.where(roi, unlike, np.float32(0)).astype(np.float32, copy=False)


def _towards(own: NDArray[np.float32], evidence: ScanEvidence, rule: str, sign: Sign) -> NDArray[np.float32]:
    """A method's own map as one with a sign; most of them are distances and have none, so they get the residual's."""
    if (own < 0).any():
        return own
    if evidence.healthy is not None:
        residual = (evidence.prepared.images - evidence.healthy).mean(axis=1, keepdims=True)
        return np.asarray(own * np.sign(residual), dtype=np.float32)
    if sign == "dark":
        raise BadInput(
            f"scoring.sign=dark: {rule} has no values below 0, and the method draws no healthy image to tell brighter from "
            "darker; use sign=both or another rule"
        )
    return own


def is_signed(rule: str) -> bool:
    """Whether a rule's values below 0 mean "darker than expected"."""
    return rule not in ("ssim", "patch")


def take_sign(signal: NDArray[np.float32], sign: Sign) -> NDArray[np.float32]:
    """Keep what is looked for: |signal|, its positive or its negative part; never below 0."""
    if sign == "both":
        return np.abs(signal)
    return np.maximum(signal if sign == "bright" else -signal, np.float32(0))
