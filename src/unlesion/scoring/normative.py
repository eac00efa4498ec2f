"""Normative standardisation: how far from the healthy mean, in healthy standard deviations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlesion.scoring.evidence import Floats, Mask

# The weight of what is known from the whole height range against what was seen at one pixel.
PRIOR_SCANS = 5.0

# The smallest SD of signals without values below 0, as a share of their root mean square.
FLOOR_SHARE = 0.25


class NormativeModel:
    """Mean and SD of a healthy signal per height range, channel and pixel, gathered in one pass.

    With few healthy scans the SD of a single pixel is hardly known, so each pixel is shrunk to its
    height range as if `PRIOR_SCANS` slices with mean 0 and the range's pooled variance had been seen
    there; pixels never seen get just that.

    Args:
        bins: number of height ranges.
        sd_floor: smallest SD, in units of the signal.
        own: whether the signal is a method's own map. One without values below 0 is a distance, in units of its own: its
            smallest SD is `FLOOR_SHARE` of its root mean square, and less than usual is not unusual.
    """

    def __init__(self, *, bins: int, sd_floor: float, own: bool = False) -> None:
        self.bins = bins
        self.sd_floor = sd_floor
        self._sums: NDArray[np.float64] | None = None  # (3, bins, C, H, W): count, sum, sum of squares
        self._signed = not own
        self._distance = own
        self._mean: Floats | None = None
        self._sd: Floats | None = None

    @property
    def signed(self) -> bool:
        """Whether the signal may lie below 0: only then is less than usual unusual, too, and not just healthier."""
        return self._signed

    @property
    def fitted(self) -> bool:
        """Whether there is a mean and an SD."""
        return self._mean is not None

    def add(self, signal: Floats, roi: Mask, positions: NDArray[Any], *, plain: Floats | None = None) -> None:
        """Take in one healthy scan.

        Args:
            signal: (S, C, H, W).
            roi: (S, H, W) bool.
            positions: (S,) from 0 to 1.
            plain: an own map as the method made it, where `signal` was given a sign; by default `signal`.
        """
        self._distance &= bool(((signal if plain is None else plain) >= 0).all())
        if self._sums is None:
            self._sums = np.zeros((3, self.bins, *signal.shape[1:]))
        if signal.shape[1:] != self._sums.shape[2:]:
            raise ValueError(f"signal of shape {signal.shape[1:]}, earlier ones had {self._sums.shape[2:]}")
        for values, inside, place in zip(signal, roi, self._bin(positions), strict=True):
            kept = np.where(inside, values, 0).astype(np.float64)
            self._signed |= bool((kept < 0).any())
            self._sums[0, place] += inside
            self._sums[1, place] += kept
            self._sums[2, place] += kept * kept

    def finish(self) -> None:
        """Turn what was added into mean and SD.

        Raises:
            ValueError: nothing was added.
        """
        if self._sums is None:
            raise ValueError("no healthy evidence to standardise by")
        count, total, squares = self._sums
        overall = squares.sum() / max(count.sum(), 1.0)
        seen = count.sum(axis=(1, 2, 3), keepdims=True)
        prior = np.where(seen > 0, squares.sum(axis=(1, 2, 3), keepdims=True) / np.maximum(seen, 1), overall)
        weight = count + PRIOR_SCANS
        mean = total / weight
        # E[x²] - mean², both over the seen slices and the assumed ones.
        variance = (squares + PRIOR_SCANS * prior) / weight - mean**2
        self._mean = mean.astype(np.float32)
        floor = FLOOR_SHARE * np.sqrt(overall) if self._distance and overall else self.sd_floor
        self._sd = np.maximum(np.sqrt(np.maximum(variance, 0)), floor).astype(np.float32)
        self._sums = None

    def standardise(self, signal: Floats, positions: NDArray[Any]) -> Floats:
        """(signal - mean) / SD, (S, C, H, W)."""
        if self._mean is None or self._sd is None:
            raise ValueError("the scorer standardises and was not fitted")
        if signal.shape[1:] != self._mean.shape[1:]:
            raise ValueError(f"signal of shape {signal.shape[1:]}, fitted on {self._mean.shape[1:]}")
        place = self._bin(positions)
        return (signal - self._mean[place]) / self._sd[place]

    def state_dict(self) -> dict[str, Floats]:
        """Mean and SD, each (bins, C, H, W), and whether values below 0 were seen; empty before fitting."""
        if self._mean is None or self._sd is None:
            return {}
        return {"mean": self._mean, "sd": self._sd, "signed": np.array([self._signed], np.float32)}

    def load_state_dict(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take what `state_dict` gave; an older one without "signed" keeps both signs, as it was calibrated."""
        mean, sd = (np.asarray(state[name], dtype=np.float32) for name in ("mean", "sd"))
        if mean.shape != sd.shape or mean.ndim != 4 or mean.shape[0] != self.bins:
            raise ValueError(f"normative state of shape {mean.shape} does not fit {self.bins} height bins")
        self._mean, self._sd = mean, sd
        self._signed = bool(np.asarray(state["signed"]).any()) if "signed" in state else True

    def _bin(self, positions: NDArray[Any]) -> NDArray[np.int64]:
        places = np.floor(np.asarray(positions, dtype=np.float64) * self.bins).astype(np.int64)
        return np.clip(places, 0, self.bins - 1)
