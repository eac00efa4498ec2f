"""Scores as 16-bit codes: counting instead of sorting, so that millions of voxels need no memory.

A code keeps order and about three digits: positive scores from 2^-24 to 2^24 have 1024 steps an octave
(relative width below 0.1 %), negative ones 256; what is nearer to 0 shares the code of 0, what is
further away shares the last one. Counts over codes are exact statements about scores so rounded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Codes are the leading bits of a float32 (exponent and the first digits of its fraction), counted from
# the bits of 2^-24: for positive floats the order of bit patterns is the order of values.
_OCTAVES = 48
_LOWEST_BITS = (127 - 24) << 23
_POSITIVE_SHIFT, _NEGATIVE_SHIFT = 13, 15
_POSITIVE = _OCTAVES << (23 - _POSITIVE_SHIFT)

ZERO_CODE = _OCTAVES << (23 - _NEGATIVE_SHIFT)
"""The code of 0 (and of everything within 2^-24 of it)."""

N_CODES = ZERO_CODE + 1 + _POSITIVE
"""Number of codes: 0 to `N_CODES` - 1."""


def encode(scores: NDArray[Any]) -> NDArray[np.uint16]:
    """Scores of any shape as codes; larger scores never get smaller codes.

    Raises:
        ValueError: a score is not a number.
    """
    values = np.asarray(scores)
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(values, dtype=np.float32)
    if np.isnan(values).any():
        raise ValueError("scores hold NaN")
    bits = values.view(np.uint32).astype(np.int64)
    magnitude = (bits & 0x7FFFFFFF) - _LOWEST_BITS
    above = np.minimum(magnitude >> _POSITIVE_SHIFT, _POSITIVE - 1) + (ZERO_CODE + 1)
    below = (ZERO_CODE - 1) - np.minimum(magnitude >> _NEGATIVE_SHIFT, ZERO_CODE - 1)
    codes = np.where(magnitude < 0, ZERO_CODE, np.where(values > 0, above, below))
    return codes.astype(np.uint16)


def threshold_below(code: int) -> float:
    """The threshold t for which `score > t` means `encode(score) >= code`, for float32 scores."""
    if code >= N_CODES:
        return float(np.finfo(np.float32).max)
    if code > ZERO_CODE:
        edge = _from_bits(_LOWEST_BITS + ((code - ZERO_CODE - 1) << _POSITIVE_SHIFT))
        return float(np.nextafter(edge, np.float32(-np.inf)))
    if code <= 0:
        return float(-np.finfo(np.float32).max)
    # Codes below that of 0 run away from it: code c ends (towards minus infinity) at -edge.
    return -float(_from_bits(_LOWEST_BITS + ((ZERO_CODE - code) << _NEGATIVE_SHIFT)))


def value_of(codes: NDArray[Any]) -> NDArray[np.float32]:
    """A score of each code: the end nearest to 0."""
    where = np.asarray(codes).astype(np.int64)
    above = _LOWEST_BITS + (np.maximum(where - ZERO_CODE - 1, 0) << _POSITIVE_SHIFT)
    below = _LOWEST_BITS + (np.maximum(ZERO_CODE - 1 - where, 0) << _NEGATIVE_SHIFT)
    bits = np.where(where > ZERO_CODE, above, below).astype(np.uint32)
    magnitude = bits.view(np.float32)
    return np.where(where == ZERO_CODE, np.float32(0), np.where(where > ZERO_CODE, magnitude, -magnitude))


@dataclass(frozen=True, eq=False)
class Counts:
    """How often each code occurs, without the codes that do not occur.

    Attributes:
        codes: (n,) uint16, rising.
        numbers: (n,) int64, above 0.
    """

    codes: NDArray[np.uint16]
    numbers: NDArray[np.int64]

    @classmethod
    def of(cls, codes: NDArray[np.uint16]) -> Counts:
        """Count an array of codes."""
        return cls.from_dense(np.bincount(codes.ravel(), minlength=N_CODES))

    @classmethod
    def from_dense(cls, dense: NDArray[np.int64]) -> Counts:
        """From one number per code, (N_CODES,)."""
        there = np.flatnonzero(dense)
        return cls(codes=there.astype(np.uint16), numbers=dense[there].astype(np.int64))

    @classmethod
    def sum(cls, parts: Iterable[Counts]) -> Counts:
        """Counts of several sets of scores together."""
        dense = np.zeros(N_CODES, dtype=np.int64)
        for part in parts:
            dense[part.codes] += part.numbers
        return cls.from_dense(dense)

    @property
    def total(self) -> int:
        """How many scores were counted."""
        return int(self.numbers.sum())


def _from_bits(bits: int) -> np.float32:
    return np.float32(np.asarray([bits], dtype=np.uint32).view(np.float32)[0])


def is_coarse(scores: NDArray[Any]) -> bool:
    """Whether codes tell far fewer of these scores apart than there are.

    They do where scores lie far from 0 for their spread, or all next to it: fewer than 100 codes for 1000 values or more.

    Args:
        scores: of any shape and unit; at most about 20,000 of them, evenly taken, are looked at.

    Raises:
        ValueError: a score is not a number.
    """
    values = np.asarray(scores, dtype=np.float32).ravel()
    values = values[:: max(1, values.size // 20_000)]
    return int(np.unique(values).size) >= 1000 and int(np.unique(encode(values)).size) < 100
