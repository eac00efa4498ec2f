"""Scorer: evidence to a map and a scan score."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlesion.scoring.config import ScoringConfig
from unlesion.scoring.evidence import Floats, Mask, ScanEvidence
from unlesion.scoring.latent import CODES, dissimilarity
from unlesion.scoring.normative import NormativeModel
from unlesion.scoring.post import post_process
from unlesion.scoring.rules import is_signed, signal_of, take_sign


class Scorer:
    """Turns the evidence about a whole scan into a map (larger is more unusual) and one number.

    Nothing is stretched per scan: values of different scans compare.

    Args:
        config: which rule, sign, pooling and post-processing.
    """

    def __init__(self, config: ScoringConfig) -> None:
        self.config = config
        self._normative = (
            NormativeModel(
                bins=config.height_bins, sd_floor=config.sd_floor, own=config.rule.startswith("map:")
            )
            if config.standardise
            else None
        )

    @property
    def needs_fit(self) -> bool:
        """Whether `fit` with healthy evidence must come before `map`."""
        return self._normative is not None and not self._normative.fitted

    @property
    def wanted(self) -> frozenset[str]:
        """The names of the method's own maps and codes that this scoring reads."""
        maps = {rule.removeprefix("map:") for rule in self.config.factors if rule.startswith("map:")}
        return frozenset(maps if self.config.scan == "map" else {*maps, *CODES})

    def fit(self, healthy: Iterable[ScanEvidence]) -> Scorer:
        """Learn what healthy evidence looks like, in one pass; without `standardise` nothing is read.

        Args:
            healthy: evidence about healthy scans, one at a time.

        Raises:
            ValueError: no evidence, or slices of different sizes.
        """
        if self._normative is not None:
            for evidence in healthy:
                signal = signal_of(self.config.rule, evidence, sign=self.config.sign, patch=self.config.patch)
                self._normative.add(
                    signal,
                    evidence.prepared.roi,
                    evidence.prepared.positions,
                    plain=evidence.maps.get(self.config.rule.removeprefix("map:")),
                )
            self._normative.finish()
        return self

    def map(self, evidence: ScanEvidence, *, post: bool = True) -> Floats:
        """The map of a scan.

        Args:
            evidence: what the method found in it.
            post: whether to apply the median filter and the erosion of the roi.

        Returns:
            (S, H, W) float32 >= 0, 0 outside the roi.

        Raises:
            BadInput: the rule needs evidence that the method does not give.
        """
        config, prepared = self.config, evidence.prepared
        out: Floats | None = None
        for rule in config.factors:
            signal = signal_of(rule, evidence, sign=config.sign, patch=config.patch)
            sign = config.sign if is_signed(rule) else "bright"
            if self._normative is not None:
                signal = self._normative.standardise(signal, prepared.positions)
                signal = np.where(prepared.roi[:, None], signal, np.float32(0))
                # Of a distance, less than healthy scans have is not unusual.
                sign = sign if self._normative.signed else "bright"
            factor = self._join(take_sign(signal, sign))
            out = factor if out is None else out * factor
        assert out is not None
        if not post:
            return out
        return post_process(
            out, prepared.roi, spacing=prepared.spacing, slice_mm=prepared.slice_mm, config=config.post
        )

    def scan_score(
        self,
        maps: NDArray[np.floating[Any]],
        roi: Mask,
        *,
        latent: Mapping[str, Floats] | None = None,
    ) -> float:
        """One number for a scan: how unusual its most unusual part is; 0 for an empty roi.

        Args:
            maps: (S, H, W), what `map` returned.
            roi: (S, H, W).
            latent: the evidence's codes, which `ScoringConfig.scan` may ask for; then slices are pooled as
                pixels are.

        Raises:
            BadInput: the method gives no codes to score.
        """
        config = self.config
        if config.scan == "map":
            return pool_map(maps, roi, pool=config.pool, fraction=config.pool_fraction)
        slices = dissimilarity(config.scan, latent or {})
        there = np.asarray(roi.any(axis=(1, 2)))
        return pool_map(slices, there, pool=config.pool, fraction=config.pool_fraction)

    def state_dict(self) -> dict[str, Floats]:
        """What was learnt, by name; empty for rules without anything to learn."""
        return {} if self._normative is None else self._normative.state_dict()

    def load_state_dict(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take what was learnt from `state_dict`.

        Raises:
            ValueError: the state belongs to another scorer.
        """
        expected = set() if self._normative is None else {"mean", "sd"}
        if set(state) - {"signed"} != expected:
            raise ValueError(f"scorer state has {sorted(state)}, expected {sorted(expected)}")
        if self._normative is not None:
            self._normative.load_state_dict(state)

    def _join(self, channels: Floats) -> Floats:
        if channels.shape[1] == 1:
            return channels[:, 0]
        joined = channels.max(axis=1) if self.config.channels == "max" else channels.mean(axis=1)
        return np.asarray(joined, dtype=np.float32)


def make_scorer(config: ScoringConfig) -> Scorer:
    """A scorer for these settings."""
    return Scorer(config)


def pool_map(
    maps: NDArray[np.floating[Any]], roi: Mask, *, pool: str = "top", fraction: float = 0.01
) -> float:
    """Pool a map of any shape inside the roi: mean of the highest `fraction`, mean, or maximum."""
    values = np.asarray(maps)[roi]
    if values.size == 0:
        return 0.0
    if pool == "max":
        return float(values.max())
    if pool == "top":
        count = max(1, math.ceil(fraction * values.size))
        values = np.partition(values, values.size - count)[values.size - count :]
    return float(values.mean(dtype=np.float64))
